// cuBLASLt, opened when it is first used: a program built with CUDA starts where no CUDA library is
// installed. The one home of cublasLt.h, which is the toolkit's, or where the device is emulated that of
// runtime/emulator/toolkit. Internal to runtime/.
#pragma once

#include <cublasLt.h>

#include "runtime/error.h"

namespace lime::cuda {

// The functions used, by their own names without the prefix.
struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulDescCreate) create_operation;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatrixLayoutSetAttribute) set_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;

  // Throws Error, with cuBLAS's own words, if `status` is a failure.
  void check(cublasStatus_t status, const char* what) const {
    if (status != CUBLAS_STATUS_SUCCESS)
      throw Error(str("cuBLASLt: ", what, " failed: ", status_string(status)));
  }
};

// Throws UserError, naming the library and where to get it, if it cannot be opened.
const CublasLt& cublaslt();

}  // namespace lime::cuda
