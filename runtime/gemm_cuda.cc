// lime::gemm by cuBLASLt. What it chooses for a shape is kept, so that a step searches for nothing.
#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <memory>
#include <optional>

#include "runtime/cublaslt.h"
#include "runtime/memory.h"
#include "runtime/primitives_cuda.h"
#include "runtime/product_views.h"

namespace lime::cuda {

namespace {

constexpr size_t workspace_bytes = size_t{32} << 20;  // what cuBLAS advises for sm_90
constexpr size_t most_plans = 8192;                   // some megabytes of the host's memory

cudaDataType_t data_type(DType dtype) {
  return dtype == DType::f32 ? CUDA_R_32F : dtype == DType::f64 ? CUDA_R_64F : CUDA_R_16BF;
}

// All that the choice of an algorithm depends on. Row-major a, b, c are column-major transposes, so
// c = op(a) op(b) is asked for as c' = op(b)' op(a)': first operand b, second operand a.
struct Shape {
  std::array<int64_t, 7>
      sides;  // m, n, k of c' = (n x k)(k x m); strides of a, b, c and of what beta is before
  bool ta, tb, tf32;
  DType in, out;
  std::array<int, 4> alignment;  // log2 of the addresses' of the same four, at most 16 bytes
  Epilogue::Kind epilogue;
  int vector_alignment;
  friend auto operator<=>(const Shape&, const Shape&) = default;
};

int alignment_of(const void* p) { return std::min(std::countr_zero(reinterpret_cast<uintptr_t>(p)), 4); }

// Owns an opaque object of cuBLASLt.
template <typename T>
using Handle = std::unique_ptr<std::remove_pointer_t<T>, cublasStatus_t (*)(T)>;

struct Plan {
  Handle<cublasLtMatmulDesc_t> operation;
  Handle<cublasLtMatrixLayout_t> a, b, c, onto;
  std::optional<cublasLtMatmulAlgo_t> algorithm;  // none: the library has no such product
};

class Gemm {
 public:
  explicit Gemm(Device device) : lt_(cublaslt()), workspace_(allocate_memory(device, workspace_bytes)) {
    lt_.check(lt_.create(&handle_), "cublasLtCreate");
  }
  ~Gemm() { lt_.destroy(handle_); }
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // False where the library has no product with this epilogue.
  bool run(Context& ctx, const Epilogue& epilogue, bool ta, bool tb, double alpha, const ConstView& a,
           const ConstView& b, double beta, const View& c) {
    const ConstView onto = epilogue.onto.empty() ? c : epilogue.onto;
    const Shape shape{
        {c.rows(), c.cols(), ta ? a.rows() : a.cols(), a.stride(), b.stride(), c.stride(), onto.stride()},
        ta,
        tb,
        ctx.tf32() && a.dtype() == DType::f32,
        a.dtype(),
        c.dtype(),
        {alignment_of(a.raw()), alignment_of(b.raw()), alignment_of(c.raw()), alignment_of(onto.raw())},
        epilogue.kind,
        epilogue.vector ? alignment_of(epilogue.vector) : 0};
    // Batches differ in their number of rows: a long run would keep a plan for every one that it saw.
    if (plans_.size() >= most_plans) plans_.clear();
    const auto found = plans_.find(shape);
    Plan& plan = found != plans_.end()
                     ? found->second
                     : plans_.emplace(shape, make(shape, epilogue, a, b, onto, c)).first->second;
    if (!plan.algorithm) return false;
    if (epilogue.vector) set_vector(plan, epilogue);
    const auto alpha32 = static_cast<float>(alpha), beta32 = static_cast<float>(beta);
    const bool wide = a.dtype() == DType::f64;
    const void* scale_a = wide ? static_cast<const void*>(&alpha) : &alpha32;
    const void* scale_c = wide ? static_cast<const void*>(&beta) : &beta32;
    const cublasStatus_t status =
        lt_.matmul(handle_, plan.operation.get(), scale_a, b.raw(), plan.b.get(), a.raw(), plan.a.get(),
                   scale_c, onto.raw(), plan.onto.get(), c.raw(), plan.c.get(), &*plan.algorithm,
                   workspace_.get(), workspace_bytes, static_cast<cudaStream_t>(ctx.stream().handle()));
    if (status == CUBLAS_STATUS_NOT_SUPPORTED && epilogue.vector) {  // chosen, but not to be had
      plan.algorithm.reset();
      return false;
    }
    lt_.check(status, "cublasLtMatmul");
    return true;
  }

 private:
  // A stored matrix, column-major: as many rows as it has columns.
  Handle<cublasLtMatrixLayout_t> layout(const ConstView& v) const {
    cublasLtMatrixLayout_t made = nullptr;
    // With one row any stride may stand in the view, but the library wants the columns to fit.
    const int64_t stride = std::max(v.stride(), v.cols());
    lt_.check(lt_.create_layout(&made, data_type(v.dtype()), static_cast<uint64_t>(v.cols()),
                                static_cast<uint64_t>(v.rows()), stride),
              "cublasLtMatrixLayoutCreate");
    return {made, lt_.destroy_layout};
  }

  void set_vector(const Plan& plan, const Epilogue& epilogue) const {
    lt_.check(lt_.set_operation(plan.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &epilogue.vector,
                                sizeof(epilogue.vector)),
              "bias");
  }

  Plan make(const Shape& shape, const Epilogue& epilogue, const ConstView& a, const ConstView& b,
            const ConstView& onto, const View& c) const {
    const cublasComputeType_t compute = shape.in == DType::f64 ? CUBLAS_COMPUTE_64F
                                        : shape.tf32           ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                               : CUBLAS_COMPUTE_32F;
    cublasLtMatmulDesc_t operation = nullptr;
    lt_.check(lt_.create_operation(&operation, compute, shape.in == DType::f64 ? CUDA_R_64F : CUDA_R_32F),
              "cublasLtMatmulDescCreate");
    Plan plan{
        {operation, lt_.destroy_operation}, layout(a), layout(b), layout(c), layout(onto), std::nullopt};
    const cublasOperation_t first = shape.tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                            second = shape.ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    lt_.check(lt_.set_operation(operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof(first)), "transpose");
    lt_.check(lt_.set_operation(operation, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof(second)),
              "transpose");
    if (epilogue.vector) {
      // c' has c's columns as rows: a bias is one number a row, and the column sums of b are those of the
      // first operand's rows.
      const cublasLtEpilogue_t kind =
          epilogue.kind == Epilogue::Kind::bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_BGRADA;
      lt_.check(lt_.set_operation(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &kind, sizeof(kind)), "epilogue");
      set_vector(plan, epilogue);  // its alignment counts
    }

    cublasLtMatmulPreference_t made = nullptr;
    lt_.check(lt_.create_preference(&made), "cublasLtMatmulPreferenceCreate");
    const Handle<cublasLtMatmulPreference_t> preference(made, lt_.destroy_preference);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      lt_.check(lt_.set_preference(made, attribute, &value, sizeof(value)),
                "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{workspace_bytes});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{1} << shape.alignment[1]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t{1} << shape.alignment[0]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, uint32_t{1} << shape.alignment[3]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, uint32_t{1} << shape.alignment[2]);

    cublasLtMatmulHeuristicResult_t result = {};
    int results = 0;
    cublasStatus_t status = lt_.heuristic(handle_, operation, plan.b.get(), plan.a.get(), plan.onto.get(),
                                          plan.c.get(), made, 1, &result, &results);
    if (status == CUBLAS_STATUS_SUCCESS) status = results == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : result.state;
    if (status != CUBLAS_STATUS_SUCCESS) {
      if (epilogue.vector) return plan;
      throw Error(str("cuBLASLt has no product of ", to_string(shape.in), " into ", to_string(shape.out),
                      ", ", c.rows(), "x", c.cols(), "x", shape.sides[2], ", strides ", a.stride(), ", ",
                      b.stride(), ", ", c.stride(), ": ", lt_.status_string(status)));
    }
    plan.algorithm = result.algo;
    return plan;
  }

  const CublasLt& lt_;
  cublasLtHandle_t handle_ = nullptr;
  std::shared_ptr<void> workspace_;
  std::map<Shape, Plan> plans_;
};

}  // namespace

bool gemm_with(Context& ctx, const Epilogue& epilogue, bool ta, bool tb, double alpha, const ConstView& a,
               const ConstView& b, double beta, View c) {
  if (epilogue.vector && c.cols() == 1) return false;  // of one number
  ctx.stream().activate();
  auto& state = ctx.stream().kept_state();
  if (!state) state = std::make_shared<Gemm>(ctx.device());
  return static_cast<Gemm*>(state.get())->run(ctx, epilogue, ta, tb, alpha, a, b, beta, c);
}

void gemm(Context& ctx, bool ta, bool tb, double alpha, const ConstView& a, const ConstView& b, double beta,
          View c) {
  const ProductViews p = without_columns({ta, tb, a, b, c});
  gemm_with(ctx, {}, p.ta, p.tb, alpha, p.a, p.b, beta, p.c);
}

}  // namespace lime::cuda
