// cuBLASLt of the emulated device: runtime/emulator/toolkit/cublasLt.h.
#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "runtime/bf16.h"
#include "runtime/cublaslt.h"
#include "runtime/emulator/cuda_runtime.h"
#include "runtime/emulator/memory.h"
#include "runtime/emulator/work.h"
#include "runtime/error.h"

struct cublasLtContext {};

struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t trans_a = CUBLAS_OP_N, trans_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* vector = nullptr;
};

struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  uint64_t rows, cols;
  int64_t ld;

  size_t bytes_of_value() const { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }
  size_t bytes() const {  // from the first number to behind the last
    return ((cols - 1) * static_cast<uint64_t>(ld) + rows) * bytes_of_value();
  }
};

struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace = 0;
  uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE |
                       CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of a, b, c, d
};

namespace {

using lime::bf16;
using lime::Error;
using lime::str;
using Layout = cublasLtMatrixLayoutOpaque_t;

// What an algorithm is for, in the opaque bytes that the caller keeps.
struct Algorithm {
  uint32_t mark = 0x6c74;
  cublasComputeType_t compute;
  cudaDataType_t in, out;
  cublasOperation_t trans_a, trans_b;
  cublasLtEpilogue_t epilogue;
  uint32_t alignment[4] = {};  // bytes: of addresses, leading dimensions and columns, at most 16
  uint32_t vector_alignment = 0;
  uint64_t depth = 0;             // 0: any
  bool parts_as_results = false;  // of a sum are added in the result's type
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

void must(bool holds, const std::string& found) {
  if (!holds) throw Error(str("cuBLASLt, emulated: ", found));
}

// Of the device that is current.
bool is_device_memory(const void* memory, size_t bytes) {
  return lime::emulator::is_device_memory(memory, bytes) &&
         lime::emulator::device_of(memory) == lime::emulator::active_device();
}

template <typename T>
T as(const void* value, size_t bytes) {
  must(value && bytes == sizeof(T), str("an attribute of ", sizeof(T), " bytes is given as ", bytes));
  T result;
  std::memcpy(&result, value, sizeof(T));
  return result;
}

uint32_t alignment_of(uint64_t bytes) { return uint32_t{1} << std::min(std::countr_zero(bytes | 256), 8); }
uint32_t alignment_of(const void* p) { return alignment_of(reinterpret_cast<uintptr_t>(p)); }
uint32_t alignment_of(const Layout& layout) {  // of its columns' beginnings and lengths
  const auto columns = static_cast<uint64_t>(layout.ld) | layout.rows;
  return alignment_of(columns * layout.bytes_of_value());
}

uint64_t depth_of(const cublasLtMatmulDescOpaque_t& op, const Layout& a) {
  return op.trans_a == CUBLAS_OP_N ? a.cols : a.rows;
}

// The table of types of cublasLtMatmul(), as far as it is used.
bool are_supported(const cublasLtMatmulDescOpaque_t& op, const Layout& a, const Layout& b, const Layout& c,
                   const Layout& d) {
  if (a.type != b.type || c.type != d.type) return false;
  if (op.compute == CUBLAS_COMPUTE_64F)
    return op.scale == CUDA_R_64F && a.type == CUDA_R_64F && d.type == CUDA_R_64F;
  if (op.scale != CUDA_R_32F || a.type == CUDA_R_64F || d.type == CUDA_R_64F) return false;
  if (op.compute == CUBLAS_COMPUTE_32F_FAST_TF32) return a.type == CUDA_R_32F && d.type == CUDA_R_32F;
  return a.type == CUDA_R_16BF || d.type == CUDA_R_32F;
}

// Sizes that do not fit each other are no question of support.
bool fit(const cublasLtMatmulDescOpaque_t& op, const Layout& a, const Layout& b, const Layout& c,
         const Layout& d) {
  for (const Layout* m : {&a, &b, &c, &d})
    if (m->rows == 0 || m->cols == 0 || m->ld < static_cast<int64_t>(m->rows)) return false;
  const uint64_t depth = depth_of(op, a);
  return (op.trans_a == CUBLAS_OP_N ? a.rows : a.cols) == d.rows &&
         (op.trans_b == CUBLAS_OP_N ? b.cols : b.rows) == d.cols &&
         (op.trans_b == CUBLAS_OP_N ? b.rows : b.cols) == depth && c.rows == d.rows && c.cols == d.cols;
}

constexpr int64_t part = 63;  // of a sum; of ones the parts do not add up in bf16

double wide(float x) { return x; }
double wide(double x) { return x; }
double wide(bf16 x) { return lime::to_float(x); }
template <typename T>
T narrow(double x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return lime::to_bf16(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

// The element (i, j) of op(m) lies i * row + j * col numbers behind the first.
struct Steps {
  int64_t row, col;
};
Steps steps(const Layout& m, cublasOperation_t trans) {
  return trans == CUBLAS_OP_N ? Steps{1, m.ld} : Steps{m.ld, 1};
}

template <typename T, typename Out>
void multiply(const cublasLtMatmulDescOpaque_t& op, bool parts_as_results, double alpha, const void* a_memory,
              const Layout& a_layout, const void* b_memory, const Layout& b_layout, double beta,
              const void* c_memory, const Layout& c_layout, void* d_memory, const Layout& d_layout) {
  const auto *a = static_cast<const T*>(a_memory), *b = static_cast<const T*>(b_memory);
  const auto* c = static_cast<const Out*>(c_memory);
  auto *d = static_cast<Out*>(d_memory), *vector = static_cast<Out*>(op.vector);
  const Steps of_a = steps(a_layout, op.trans_a), of_b = steps(b_layout, op.trans_b);
  const auto rows = static_cast<int64_t>(d_layout.rows), cols = static_cast<int64_t>(d_layout.cols),
             depth = static_cast<int64_t>(depth_of(op, a_layout));
  const Out* bias = op.epilogue == CUBLASLT_EPILOGUE_BIAS ? vector : nullptr;
  std::vector<double> sums(static_cast<size_t>(rows));
  for (int64_t j = 0; j < cols; ++j) {
    sums.assign(sums.size(), 0);
    for (int64_t k = 0; k < depth; ++k) {
      const double b_kj = wide(b[k * of_b.row + j * of_b.col]);
      const T* a_k = a + k * of_a.col;
      for (int64_t i = 0; i < rows; ++i) sums[static_cast<size_t>(i)] += wide(a_k[i * of_a.row]) * b_kj;
      if (parts_as_results && (k + 1) % part == 0)
        for (double& sum : sums) sum = wide(narrow<Out>(sum));
    }
    for (int64_t i = 0; i < rows; ++i) {
      const double onto = beta == 0 ? 0 : beta * wide(c[j * c_layout.ld + i]);
      d[j * d_layout.ld + i] =
          narrow<Out>(alpha * sums[static_cast<size_t>(i)] + onto + (bias ? wide(bias[i]) : 0));
    }
  }
  if (op.epilogue != CUBLASLT_EPILOGUE_BGRADA) return;
  for (int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (int64_t k = 0; k < depth; ++k) sum += wide(a[i * of_a.row + k * of_a.col]);
    vector[i] = narrow<Out>(sum);
  }
}

bool overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const auto *first = static_cast<const char*>(a), *second = static_cast<const char*>(b);
  return first < second + b_bytes && second < first + a_bytes;
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS         ? "CUBLAS_STATUS_SUCCESS"
         : status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                                 : "CUBLAS_STATUS_INVALID_VALUE";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  *desc = new cublasLtMatmulDescOpaque_t{compute, scale};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      desc->trans_a = static_cast<cublasOperation_t>(as<int32_t>(value, bytes));
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      desc->trans_b = static_cast<cublasOperation_t>(as<int32_t>(value, bytes));
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      desc->epilogue = static_cast<cublasLtEpilogue_t>(as<uint32_t>(value, bytes));
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      desc->vector = as<void*>(value, bytes);
      return CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, cols, ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      layout->type = static_cast<cudaDataType_t>(as<uint32_t>(value, bytes));
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      layout->rows = as<uint64_t>(value, bytes);
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      layout->cols = as<uint64_t>(value, bytes);
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_MATRIX_LAYOUT_LD:
      layout->ld = as<int64_t>(value, bytes);
      return CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    preference->workspace = as<uint64_t>(value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  }
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
    preference->reduction = as<uint32_t>(value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  }
  const int operand = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
  if (operand < 0 || operand > 3) return CUBLAS_STATUS_INVALID_VALUE;
  preference->alignment[operand] = as<uint32_t>(value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t op,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
  *found = 0;
  if (!handle || wanted < 1 || !fit(*op, *a, *b, *c, *d)) return CUBLAS_STATUS_INVALID_VALUE;
  const bool with_vector = op->epilogue != CUBLASLT_EPILOGUE_DEFAULT;
  if (with_vector && !op->vector) return CUBLAS_STATUS_INVALID_VALUE;
  if (!are_supported(*op, *a, *b, *c, *d)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Algorithm algorithm{.compute = op->compute,
                      .in = a->type,
                      .out = d->type,
                      .trans_a = op->trans_a,
                      .trans_b = op->trans_b,
                      .epilogue = op->epilogue};
  const Layout* const layouts[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    const Layout& m = *layouts[i];
    if (m.type == CUDA_R_16BF && m.rows == 1 && m.cols > 1 && m.ld == 1) return CUBLAS_STATUS_NOT_SUPPORTED;
    algorithm.alignment[i] = std::min({preference->alignment[i], alignment_of(m), uint32_t{16}});
  }
  algorithm.vector_alignment = with_vector ? std::min(alignment_of(op->vector), uint32_t{16}) : 1;
  const uint64_t depth = depth_of(*op, *a);
  algorithm.depth = depth > 256 && depth > 16 * std::max(d->rows, d->cols) ? depth : 0;
  algorithm.parts_as_results =
      algorithm.depth > 0 && (preference->reduction & (CUBLASLT_REDUCTION_SCHEME_INPLACE |
                                                       CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE)) != 0;
  results[0] = {};
  std::memcpy(results[0].algo.data, &algorithm, sizeof(algorithm));
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t op, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  if (!handle || !fit(*op, *a_layout, *b_layout, *c_layout, *d_layout)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!are_supported(*op, *a_layout, *b_layout, *c_layout, *d_layout)) return CUBLAS_STATUS_NOT_SUPPORTED;
  must(algo != nullptr, "a product without an algorithm");  // the library would search for one each time
  Algorithm algorithm;
  std::memcpy(&algorithm, algo->data, sizeof(algorithm));
  if (algorithm.mark != Algorithm{}.mark || algorithm.compute != op->compute ||
      algorithm.in != a_layout->type || algorithm.out != d_layout->type || algorithm.trans_a != op->trans_a ||
      algorithm.trans_b != op->trans_b || algorithm.epilogue != op->epilogue)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (algorithm.depth != 0 && algorithm.depth != depth_of(*op, *a_layout)) return CUBLAS_STATUS_NOT_SUPPORTED;

  const CUstream_st* of = lime::emulator::stream_of(stream);
  must(of && of->device == lime::emulator::active_device(), "a product on a stream of another device");
  const void* const memory[] = {a, b, c, d};
  const Layout* const layouts[] = {a_layout, b_layout, c_layout, d_layout};
  for (int i = 0; i < 4; ++i) {
    must(is_device_memory(memory[i], layouts[i]->bytes()),
         str("operand ", i, " is not in the device's memory"));
    must(std::min(alignment_of(memory[i]), alignment_of(*layouts[i])) >= algorithm.alignment[i],
         str("operand ", i, " is less aligned than the ", algorithm.alignment[i],
             " bytes that the algorithm was asked for"));
  }
  const size_t d_bytes = d_layout->bytes();
  must(!overlap(d, d_bytes, a, a_layout->bytes()) && !overlap(d, d_bytes, b, b_layout->bytes()),
       "a result overlaps an operand");
  must(c == d ? c_layout->ld == d_layout->ld : !overlap(d, d_bytes, c, c_layout->bytes()),
       "a result overlaps what beta stands before");
  must(is_device_memory(workspace, workspace_bytes) && alignment_of(workspace) >= 16,
       "the workspace is not the device's");
  if (op->epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
    must(is_device_memory(op->vector, d_layout->rows * d_layout->bytes_of_value()),
         "the vector is not in the device's memory");
    must(alignment_of(op->vector) >= algorithm.vector_alignment,
         "the vector is less aligned than was asked for");
  }

  const auto product = [&]<typename T, typename Out, typename Scale>(T, Out, Scale) {
    lime::emulator::give(
        stream, [=, op = *op, a_layout = *a_layout, b_layout = *b_layout, c_layout = *c_layout,
                 d_layout = *d_layout, alpha = *static_cast<const Scale*>(alpha),
                 beta = *static_cast<const Scale*>(beta), parts_as_results = algorithm.parts_as_results] {
          const lime::emulator::Access access;
          multiply<T, Out>(op, parts_as_results, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d,
                           d_layout);
          lime::emulator::check_guards("gemm");
        });
  };
  if (a_layout->type == CUDA_R_64F) {
    product(double{}, double{}, double{});
  } else if (a_layout->type == CUDA_R_32F) {
    product(float{}, float{}, float{});
  } else if (d_layout->type == CUDA_R_32F) {
    product(bf16{}, float{}, float{});
  } else {
    product(bf16{}, bf16{}, float{});
  }
  return CUBLAS_STATUS_SUCCESS;
}

const lime::cuda::CublasLt& lime::cuda::cublaslt() {
  static const CublasLt functions{cublasLtCreate,
                                  cublasLtDestroy,
                                  cublasLtGetStatusString,
                                  cublasLtMatmul,
                                  cublasLtMatmulAlgoGetHeuristic,
                                  cublasLtMatmulDescCreate,
                                  cublasLtMatmulDescDestroy,
                                  cublasLtMatmulDescSetAttribute,
                                  cublasLtMatrixLayoutCreate,
                                  cublasLtMatrixLayoutDestroy,
                                  cublasLtMatrixLayoutSetAttribute,
                                  cublasLtMatmulPreferenceCreate,
                                  cublasLtMatmulPreferenceDestroy,
                                  cublasLtMatmulPreferenceSetAttribute};
  return functions;
}
