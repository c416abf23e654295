// What calls of the emulated CUDA runtime answer, and what is kept of it.
#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/emulator/cuda_runtime.h"

namespace lime::emulator {

namespace {

struct Name {
  cudaError_t error;
  const char *name, *text;
};
constexpr Name names[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidPitchValue, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
};
const Name* find(cudaError_t error) {
  const auto* found =
      std::find_if(std::begin(names), std::end(names), [=](const Name& n) { return n.error == error; });
  return found != std::end(names) ? found : nullptr;
}

// Without a destructor: tensors with static storage are freed after a thread's variables have ended.
struct Answers {
  cudaError_t last = cudaSuccess, explained = cudaSuccess;
  cudaStream_t failed = nullptr;  // whose failure `last` is
  char why[2048] = "", text[2304] = "";
};
thread_local Answers answers;

}  // namespace

cudaError_t refuse(cudaError_t error, const std::string& why, cudaStream_t of) {
  answers.last = answers.explained = error;
  answers.failed = of;
  answers.why[why.copy(answers.why, sizeof(answers.why) - 1)] = 0;
  return error;
}

std::string unheard_failure(cudaStream_t stream) {
  return answers.last == cudaErrorLaunchFailure && answers.failed == stream ? answers.why : std::string();
}

}  // namespace lime::emulator

using lime::emulator::answers;

cudaError_t cudaGetLastError() { return std::exchange(answers.last, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return answers.last; }

const char* cudaGetErrorName(cudaError_t error) {
  const auto* known = lime::emulator::find(error);
  return known ? known->name : "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  const auto* known = lime::emulator::find(error);
  if (!known) return "unrecognized error code";
  if (error != answers.explained || !*answers.why) return known->text;
  const std::string text = lime::str(known->text, ": ", answers.why);
  answers.text[text.copy(answers.text, sizeof(answers.text) - 1)] = 0;
  return answers.text;
}
