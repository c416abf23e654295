// Streams and events of the emulated CUDA runtime: toolkit/cuda_runtime_api.h. What streams do, and when:
// work.h.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "runtime/emulator/cuda_runtime.h"
#include "runtime/emulator/memory.h"

namespace lime::emulator {

namespace {

// Which handles there are. Never destroyed: streams with static storage may outlive it.
struct Handles {
  std::mutex mutex;
  std::set<CUstream_st*> streams;
  std::set<CUevent_st*> events;
  std::map<int, CUstream_st> null_streams;  // by device

  static Handles& instance() {
    static Handles& handles = *new Handles;
    return handles;
  }
};

Work::Operation wait_for(std::weak_ptr<Work> other, int64_t given) {
  return [other = std::move(other), given] {
    const auto work = other.lock();
    return !work || work->try_finish(given);
  };
}

// The null stream waits for what blocking streams have, and they for what it has.
void wait_as_null_streams_do(const CUstream_st& stream) {
  if (!stream.blocking) return;
  Handles& handles = Handles::instance();
  const std::lock_guard lock(handles.mutex);
  const auto after = [&](const CUstream_st& other) {
    stream.work->add(wait_for(other.work, other.work->given()));
  };
  const auto null_stream = handles.null_streams.find(stream.device);
  if (null_stream == handles.null_streams.end()) return;  // nothing was given to it
  if (&stream != &null_stream->second) return after(null_stream->second);
  for (const CUstream_st* other : handles.streams)
    if (other->blocking && other->device == stream.device) after(*other);
}

CUstream_st& must_be_stream(void* handle) {
  CUstream_st* const stream = stream_of(static_cast<cudaStream_t>(handle));
  must(stream != nullptr, "work for a stream that there is not");
  return *stream;
}

bool is_event(cudaEvent_t event) {
  Handles& handles = Handles::instance();
  const std::lock_guard lock(handles.mutex);
  if (handles.events.contains(event)) return true;
  refuse(cudaErrorInvalidResourceHandle, "an event that there is not");
  return false;
}

cudaError_t not_ready() { return refuse(cudaErrorNotReady, ""); }

// Left by an exception, the host may have no more what was to be copied to.
void deliver(Work& work, int64_t promised) {
  if (std::uncaught_exceptions() == 0) work.deliver(promised);
}

// The host asks whether a stream has come so far. Not yet, where there is anything to do, when it asks for
// the first time; then the stream does what goes without waiting.
cudaError_t query(cudaStream_t handle, Work& work, int64_t given, int64_t promised, bool asked) {
  if (work.has_finished(given) && work.has_arrived(promised)) return cudaSuccess;
  return hear(handle, [&] {
    if (!asked) Work::let_others_go_on(&work);
    if (!asked || !work.try_finish(given)) return not_ready();
    deliver(work, promised);
    return cudaSuccess;
  });
}

cudaError_t wait(cudaStream_t handle, Work& work, int64_t given, int64_t promised) {
  return hear(handle, [&] {
    Work::let_others_go_on(&work);
    work.finish(given);
    deliver(work, promised);
    return cudaSuccess;
  });
}

}  // namespace

CUstream_st* stream_of(cudaStream_t handle) {
  Handles& handles = Handles::instance();
  const std::lock_guard lock(handles.mutex);
  if (!handle) {
    const int device = active_device();
    const auto [at, is_new] = handles.null_streams.try_emplace(device);
    if (is_new) at->second.work = Work::make(device), at->second.device = device, at->second.blocking = true;
    return &at->second;
  }
  if (handles.streams.contains(handle)) return handle;
  refuse(cudaErrorInvalidResourceHandle, "a stream that there is not");
  return nullptr;
}

void give(void* stream_handle, std::function<void()> operation) {
  if (!is_eager())
    return add_work(stream_handle, [operation = std::move(operation)] { return operation(), true; });
  wait_as_null_streams_do(must_be_stream(stream_handle));
  finish_work(stream_handle);
  operation();
}

void add_work(void* stream_handle, Work::Operation carry_on) {
  const CUstream_st& stream = must_be_stream(stream_handle);
  wait_as_null_streams_do(stream);
  stream.work->add(std::move(carry_on));
}

void finish_work(void* stream_handle) {
  Work& work = *must_be_stream(stream_handle).work;
  work.finish(work.given());
}

}  // namespace lime::emulator

using namespace lime::emulator;
using lime::str;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  if (!handle || flags > cudaStreamNonBlocking)
    return refuse(cudaErrorInvalidValue, str("flags ", flags, " of a stream"));
  *handle = new CUstream_st{Work::make(active_device()), active_device(), flags != cudaStreamNonBlocking};
  Handles& handles = Handles::instance();
  const std::lock_guard lock(handles.mutex);
  handles.streams.insert(*handle);
  return cudaSuccess;
}

// What it still has is done some time, or not if it has failed: nobody can hear of that any more.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  if (!handle || !stream_of(handle))
    return refuse(cudaErrorInvalidResourceHandle, "a stream that there is not");
  if (const std::string failure = unheard_failure(handle); failure.empty()) {
    Work::outlive(handle->work);
  } else {
    std::fprintf(stderr, "emulated device: %s, found when its stream ended\n", failure.c_str());
    if (std::uncaught_exceptions() == 0) std::abort();
    cudaGetLastError();
  }
  Handles& handles = Handles::instance();
  const std::lock_guard lock(handles.mutex);
  handles.streams.erase(handle);
  delete handle;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const CUstream_st* stream = stream_of(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  return wait(handle, *stream->work, stream->work->given(), stream->work->promised());
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  CUstream_st* stream = stream_of(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  const int64_t given = stream->work->given();
  return query(handle, *stream->work, given, stream->work->promised(),
               stream->asked.exchange(given) == given);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
  if (!stream_of(handle) || !is_event(event)) return cudaErrorInvalidResourceHandle;
  if (flags != 0) return refuse(cudaErrorInvalidValue, str("flags ", flags, " of a wait"));
  if (event->mark) add_work(handle, wait_for(event->mark->work, event->mark->given));
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (!event || (flags & ~unsigned{cudaEventDisableTiming}) != 0)
    return refuse(cudaErrorInvalidValue, str("flags ", flags, " of an event"));
  *event = new CUevent_st{active_device(), flags != cudaEventDisableTiming, nullptr};
  Handles& handles = Handles::instance();
  const std::lock_guard lock(handles.mutex);
  handles.events.insert(*event);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!is_event(event)) return cudaErrorInvalidResourceHandle;
  Handles& handles = Handles::instance();
  const std::lock_guard lock(handles.mutex);
  handles.events.erase(event);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const CUstream_st* stream = stream_of(handle);
  if (!stream || !is_event(event)) return cudaErrorInvalidResourceHandle;
  if (event->device != stream->device)
    return refuse(cudaErrorInvalidResourceHandle, str("an event of device ", event->device,
                                                      " is recorded in a stream of device ", stream->device));
  const auto mark = std::make_shared<Mark>();
  if (event->timed) {
    add_work(handle, [mark] { return mark->time = std::chrono::steady_clock::now(), true; });
  }
  mark->work = stream->work;
  mark->given = stream->work->given(), mark->promised = stream->work->promised();
  event->mark = mark;
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!is_event(event)) return cudaErrorInvalidResourceHandle;
  const auto work = event->mark ? event->mark->work.lock() : nullptr;
  return work ? wait(nullptr, *work, event->mark->given, event->mark->promised) : cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (!is_event(event)) return cudaErrorInvalidResourceHandle;
  const auto work = event->mark ? event->mark->work.lock() : nullptr;
  if (!work) return cudaSuccess;
  return query(nullptr, *work, event->mark->given, event->mark->promised,
               std::exchange(event->mark->asked, true));
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!is_event(begin) || !is_event(end)) return cudaErrorInvalidResourceHandle;
  if (!begin->mark || !end->mark)
    return refuse(cudaErrorInvalidResourceHandle, "an event that was not recorded");
  if (!begin->timed || !end->timed) return refuse(cudaErrorInvalidResourceHandle, "an event without timing");
  if (begin->device != end->device)
    return refuse(cudaErrorInvalidResourceHandle,
                  str("events of devices ", begin->device, " and ", end->device));
  if (!begin->mark->passed() || !end->mark->passed())
    return refuse(cudaErrorNotReady, "an event that was not reached");
  *milliseconds = std::chrono::duration<float, std::milli>(end->mark->time - begin->mark->time).count();
  return cudaSuccess;
}
