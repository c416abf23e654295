// The CUDA runtime for a build whose devices are emulated (../cuda_runtime.cc, ../cuda_copies.cc): of the
// interface what the project uses, by its names, types and numbers (tests/runtime/emulated_toolkit_test.cc
// compares them with a toolkit's where there is one). Contract: NVIDIA's documentation, of CUDA 12.4 and
// later.
//
// What the documentation refuses is answered as it says. What it leaves undefined is an Error here: memory
// that is not where a copy's direction says, areas that overlap. What it leaves open is done now the one way,
// now the other: whether cudaFree() waits for the device, when a stream does its work (../work.h).
#pragma once

#include <cstddef>

#define CUDART_VERSION 12040

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidPitchValue = 12,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaDeviceAttr {
  cudaDevAttrMaxPitch = 11,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

#define cudaStreamDefault 0x00
#define cudaStreamNonBlocking 0x01
#define cudaEventDefault 0x00
#define cudaEventDisableTiming 0x02

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;

struct cudaUUID_t {
  char bytes[16];
};
struct cudaDeviceProp {
  char name[256];
  cudaUUID_t uuid;  // "emulated N": no GPU has a number that spells this
};

// The last answer of this thread's calls that was not success, "not ready" too; taken from there by the
// first. A launch that is refused leaves its answer there, and nowhere else.
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
// With what the emulator found, behind CUDA's words, where the thread's last failure was of this kind.
const char* cudaGetErrorString(cudaError_t);
const char* cudaGetErrorName(cudaError_t);

// As many devices as LIME_EMULATED_DEVICES says, or one.
cudaError_t cudaDriverGetVersion(int*);
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int device);
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceSynchronize();

cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMalloc(void**, size_t bytes);
cudaError_t cudaFree(void*);
cudaError_t cudaMallocHost(void**, size_t bytes);
cudaError_t cudaFreeHost(void*);

// A null stream is the current device's: streams that were made without cudaStreamNonBlocking and it wait for
// each other.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamQuery(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned flags);

cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventSynchronize(cudaEvent_t);
cudaError_t cudaEventQuery(cudaEvent_t);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaMemset(void*, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void*, int value, size_t bytes, cudaStream_t);
cudaError_t cudaMemset2DAsync(void*, size_t pitch, int value, size_t width, size_t height, cudaStream_t);

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value);
