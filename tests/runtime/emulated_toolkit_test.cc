// The emulated toolkit's headers have the numbers and sizes of NVIDIA's: this file is compiled against
// either, whichever the build has, and so compares them.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>

#include "runtime/cublaslt.h"
#ifdef LIME_HAS_NCCL
#include "parallel/nccl_library.h"
#endif

namespace {

TEST(EmulatedToolkit, TheCudaRuntimeIsAsNvidiasHeadersHaveIt) {
  EXPECT_GE(CUDART_VERSION, 12040);
  EXPECT_EQ(cudaMemcpyHostToDevice, 1);
  EXPECT_EQ(cudaMemcpyDeviceToHost, 2);
  EXPECT_EQ(cudaMemcpyDeviceToDevice, 3);
  EXPECT_EQ(cudaDevAttrMaxPitch, 11);
  EXPECT_EQ(cudaDevAttrComputeCapabilityMajor, 75);
  EXPECT_EQ(cudaDevAttrComputeCapabilityMinor, 76);
  EXPECT_EQ(cudaDevAttrMaxSharedMemoryPerBlockOptin, 97);
  EXPECT_EQ(cudaFuncAttributeMaxDynamicSharedMemorySize, 8);
  EXPECT_EQ(cudaStreamDefault, 0);
  EXPECT_EQ(cudaStreamNonBlocking, 1);
  EXPECT_EQ(cudaEventDefault, 0);
  EXPECT_EQ(cudaEventDisableTiming, 2);
  EXPECT_EQ(sizeof(cudaUUID_t), 16u);
  EXPECT_EQ(offsetof(cudaDeviceProp, uuid), 256u);
}

// Its library needs no GPU for that.
TEST(EmulatedToolkit, TheCudaRuntimeNamesErrorsAsNvidiasDoes) {
  struct Known {
    cudaError_t error;
    int number;
    const char *name, *text;
  };
  for (const auto& [error, number, name, text] :
       {Known{cudaSuccess, 0, "cudaSuccess", "no error"},
        {cudaErrorInvalidValue, 1, "cudaErrorInvalidValue", "invalid argument"},
        {cudaErrorMemoryAllocation, 2, "cudaErrorMemoryAllocation", "out of memory"},
        {cudaErrorInvalidPitchValue, 12, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
        {cudaErrorInvalidMemcpyDirection, 21, "cudaErrorInvalidMemcpyDirection",
         "invalid copy direction for memcpy"},
        {cudaErrorInvalidDevice, 101, "cudaErrorInvalidDevice", "invalid device ordinal"},
        {cudaErrorInvalidResourceHandle, 400, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
        {cudaErrorNotReady, 600, "cudaErrorNotReady", "device not ready"},
        {cudaErrorLaunchFailure, 719, "cudaErrorLaunchFailure", "unspecified launch failure"}}) {
    EXPECT_EQ(error, number);
    EXPECT_STREQ(cudaGetErrorName(error), name);
    EXPECT_STREQ(cudaGetErrorString(error), text);
  }
  EXPECT_EQ(cudaDriverGetVersion(nullptr), cudaErrorInvalidValue);
}

TEST(EmulatedToolkit, CublasLtIsAsNvidiasHeadersHaveIt) {
  EXPECT_EQ(CUBLAS_STATUS_SUCCESS, 0);
  EXPECT_EQ(CUBLAS_STATUS_INVALID_VALUE, 7);
  EXPECT_EQ(CUBLAS_STATUS_NOT_SUPPORTED, 15);
  EXPECT_EQ(CUBLAS_OP_N, 0);
  EXPECT_EQ(CUBLAS_OP_T, 1);
  EXPECT_EQ(CUBLAS_COMPUTE_32F, 68);
  EXPECT_EQ(CUBLAS_COMPUTE_64F, 70);
  EXPECT_EQ(CUBLAS_COMPUTE_32F_FAST_TF32, 77);
  EXPECT_EQ(CUDA_R_32F, 0);
  EXPECT_EQ(CUDA_R_64F, 1);
  EXPECT_EQ(CUDA_R_16BF, 14);
  EXPECT_EQ(CUBLASLT_EPILOGUE_DEFAULT, 1);
  EXPECT_EQ(CUBLASLT_EPILOGUE_BIAS, 4);
  EXPECT_EQ(CUBLASLT_EPILOGUE_BGRADA, 256);
  EXPECT_EQ(CUBLASLT_MATMUL_DESC_TRANSA, 3);
  EXPECT_EQ(CUBLASLT_MATMUL_DESC_TRANSB, 4);
  EXPECT_EQ(CUBLASLT_MATMUL_DESC_EPILOGUE, 7);
  EXPECT_EQ(CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8);
  EXPECT_EQ(CUBLASLT_MATRIX_LAYOUT_TYPE, 0);
  EXPECT_EQ(CUBLASLT_MATRIX_LAYOUT_ROWS, 2);
  EXPECT_EQ(CUBLASLT_MATRIX_LAYOUT_COLS, 3);
  EXPECT_EQ(CUBLASLT_MATRIX_LAYOUT_LD, 4);
  EXPECT_EQ(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1);
  EXPECT_EQ(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3);
  EXPECT_EQ(CUBLASLT_REDUCTION_SCHEME_INPLACE, 1);
  EXPECT_EQ(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2);
  EXPECT_EQ(CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE, 4);
  EXPECT_EQ(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5);
  EXPECT_EQ(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6);
  EXPECT_EQ(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7);
  EXPECT_EQ(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8);
  EXPECT_EQ(sizeof(cublasLtMatmulAlgo_t), 64u);
  EXPECT_EQ(sizeof(cublasLtMatmulHeuristicResult_t), 64u + 8 + 4 + 4 + 16);
}

#ifdef LIME_HAS_NCCL
TEST(EmulatedToolkit, NcclIsAsItsHeaderHasIt) {
  EXPECT_EQ(ncclSuccess, 0);
  EXPECT_EQ(ncclInternalError, 3);
  EXPECT_EQ(ncclInvalidArgument, 4);
  EXPECT_EQ(ncclInvalidUsage, 5);
  EXPECT_EQ(ncclRemoteError, 6);
  EXPECT_EQ(ncclInProgress, 7);
  EXPECT_EQ(ncclUint8, 1);
  EXPECT_EQ(sizeof(ncclUniqueId), 128u);
  const ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  EXPECT_EQ(config.size, sizeof(config));
  EXPECT_EQ(config.magic, 0xcafebeef);
  EXPECT_EQ(offsetof(ncclConfig_t, blocking), 16u);
  EXPECT_EQ(config.blocking, INT_MIN);
}
#endif

}  // namespace
