// The emulated toolkit's headers have the numbers and sizes of NVIDIA's: this file is compiled against
// either, whichever the build has, and so compares them.
#include <gtest/gtest.h>

#include "runtime/cublaslt.h"
#ifdef LIME_HAS_NCCL
#include "parallel/nccl_library.h"
#endif

namespace {

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
