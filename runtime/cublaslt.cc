#include "runtime/cublaslt.h"

#include "runtime/shared_library.h"

namespace lime::cuda {

namespace {

CublasLt open() {
  constexpr int version = CUBLAS_VER_MAJOR;
  const SharedLibrary library(
      str("libcublasLt.so.", version),
      str("install cuBLAS ", version,
          " (Debian and Ubuntu with NVIDIA's repository: apt-get install libcublas-", version,
          "-0; Python: pip install nvidia-cublas) and name its directory in LD_LIBRARY_PATH"));
  CublasLt f;
  library.load(f.create, "cublasLtCreate");
  library.load(f.destroy, "cublasLtDestroy");
  library.load(f.status_string, "cublasLtGetStatusString");
  library.load(f.matmul, "cublasLtMatmul");
  library.load(f.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  library.load(f.create_operation, "cublasLtMatmulDescCreate");
  library.load(f.destroy_operation, "cublasLtMatmulDescDestroy");
  library.load(f.set_operation, "cublasLtMatmulDescSetAttribute");
  library.load(f.create_layout, "cublasLtMatrixLayoutCreate");
  library.load(f.destroy_layout, "cublasLtMatrixLayoutDestroy");
  library.load(f.set_layout, "cublasLtMatrixLayoutSetAttribute");
  library.load(f.create_preference, "cublasLtMatmulPreferenceCreate");
  library.load(f.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  library.load(f.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  return f;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt functions = open();
  return functions;
}

}  // namespace lime::cuda
