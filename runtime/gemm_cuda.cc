// lime::gemm by cuBLASLt. What it chooses for a shape is kept, so that a step searches for nothing.
#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <memory>

#include "runtime/cublaslt.h"
#include "runtime/cuda_device_calls.h"
#include "runtime/memory.h"
#include "runtime/primitives_cuda.h"
#include "runtime/product_views.h"

namespace lime::cuda {

namespace {

constexpr size_t workspace_bytes = size_t{32} << 20;  // what cuBLAS advises for sm_90

cudaDataType_t data_type(DType dtype) {
  return dtype == DType::f32 ? CUDA_R_32F : dtype == DType::f64 ? CUDA_R_64F : CUDA_R_16BF;
}

// The next number that is at most an eighth away and of which there are eight for each power of two. Batches
// differ in their numbers of rows: with sizes rounded up so they share an algorithm, where each number would
// have the library search for one, for each of a step's products.
int64_t coarse(int64_t n) {
  if (n <= 16) return n;
  const int shift = std::bit_width(static_cast<uint64_t>(n)) - 4;
  return (((n - 1) >> shift) + 1) << shift;
}

// The same for a side along which numbers lie one behind the other, or for the distance of columns: how many
// of them an algorithm loads at once depends on whether 8, 4 or 2 divide it, and so they do the result.
int64_t coarse_as_aligned(int64_t n) {
  const int64_t r = coarse(n), loaded = 8;  // of the smallest numbers, 16 bytes
  return r == n || n % loaded == 0 ? r : r + (int64_t{1} << std::countr_zero(static_cast<uint64_t>(n)));
}

// log2 of the bytes that an address is a multiple of, at most 16.
int alignment_of(const void* p) { return std::min(std::countr_zero(reinterpret_cast<uintptr_t>(p)), 4); }

// A matrix as it is stored, column-major: as many rows as the view has columns.
struct Stored {
  DType dtype;
  int64_t rows, cols, ld;

  explicit Stored(const ConstView& v)  // with one row any stride may stand in the view
      : dtype(v.dtype()), rows(v.cols()), cols(v.rows()), ld(std::max(v.stride(), v.cols())) {}
  Stored with_sides(int64_t new_rows, int64_t new_cols) const {
    Stored s = *this;
    s.rows = new_rows, s.cols = new_cols, s.ld = coarse_as_aligned(ld);
    if (s.ld < s.rows) s.ld += 16;
    return s;
  }
  friend auto operator<=>(const Stored&, const Stored&) = default;
};

// All that the choice of an algorithm depends on. Row-major a, b, c are column-major transposes, so
// c = op(a) op(b) is asked for as c' = op(b)' op(a)': first operand b, second operand a. `onto` is what beta
// stands before.
struct Shape {
  Stored first, second, onto, result;
  bool first_transposed, second_transposed, tf32;
  std::array<int, 4> alignment;  // of their addresses
  Epilogue::Kind epilogue;
  int vector_alignment;

  Shape rounded() const {
    const auto side = [](int64_t n, bool lies_in_columns) {
      return lies_in_columns ? coarse_as_aligned(n) : coarse(n);
    };
    const int64_t rows = side(result.rows, true), cols = side(result.cols, second_transposed),
                  depth = side(first_transposed ? first.rows : first.cols,
                               first_transposed || !second_transposed);
    Shape s = *this;
    s.first = first_transposed ? first.with_sides(depth, rows) : first.with_sides(rows, depth);
    s.second = second_transposed ? second.with_sides(cols, depth) : second.with_sides(depth, cols);
    s.onto = onto.with_sides(rows, cols), s.result = result.with_sides(rows, cols);
    return s;
  }
  friend auto operator<=>(const Shape&, const Shape&) = default;
};

// Owns an opaque object of cuBLASLt.
template <typename T>
using Handle = std::unique_ptr<std::remove_pointer_t<T>, cublasStatus_t (*)(T)>;

struct Plan {
  Handle<cublasLtMatmulDesc_t> operation;
  cublasStatus_t state = CUBLAS_STATUS_NOT_SUPPORTED;  // success: there is an algorithm
  cublasLtMatmulAlgo_t algorithm = {};
};

class Gemm {
 public:
  explicit Gemm(Device device)
      : lt_(cublaslt()),
        first_(new_layout()),
        second_(new_layout()),
        onto_(new_layout()),
        result_(new_layout()),
        workspace_(allocate_memory(device, workspace_bytes)) {
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
        Stored(b),
        Stored(a),
        Stored(onto),
        Stored(c),
        tb,
        ta,
        ctx.tf32() && a.dtype() == DType::f32,
        {alignment_of(b.raw()), alignment_of(a.raw()), alignment_of(onto.raw()), alignment_of(c.raw())},
        epilogue.kind,
        epilogue.vector ? alignment_of(epilogue.vector) : 0};
    const auto alpha32 = static_cast<float>(alpha), beta32 = static_cast<float>(beta);
    const bool wide = a.dtype() == DType::f64;
    const void* scale_first = wide ? static_cast<const void*>(&alpha) : &alpha32;
    const void* scale_onto = wide ? static_cast<const void*>(&beta) : &beta32;
    const auto multiply = [&](const Plan& plan) {
      if (plan.state != CUBLAS_STATUS_SUCCESS) return plan.state;
      if (epilogue.vector) set_vector(plan, epilogue.vector);
      describe(shape);
      return lt_.matmul(handle_, plan.operation.get(), scale_first, b.raw(), first_.get(), a.raw(),
                        second_.get(), scale_onto, onto.raw(), onto_.get(), c.raw(), result_.get(),
                        &plan.algorithm, workspace_.get(), workspace_bytes,
                        static_cast<cudaStream_t>(ctx.stream().handle()));
    };
    cublasStatus_t status = multiply(plan_of(shape.rounded()));
    // Not every algorithm is for all sizes near those that it was chosen for.
    if (is_refusal(status)) status = multiply(plan_of(shape));
    if (is_refusal(status) && epilogue.vector) return false;
    if (is_refusal(status))
      throw Error(str("cuBLASLt has no product of ", to_string(a.dtype()), " into ", to_string(c.dtype()),
                      ", ", c.rows(), "x", c.cols(), "x", ta ? a.rows() : a.cols(), ", strides ", a.stride(),
                      ", ", b.stride(), ", ", c.stride(), ": ", lt_.status_string(status)));
    lt_.check(status, "cublasLtMatmul");
    return true;
  }

 private:
  static bool is_refusal(cublasStatus_t status) {
    return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
  }

  Handle<cublasLtMatrixLayout_t> new_layout() const {
    cublasLtMatrixLayout_t made = nullptr;
    lt_.check(lt_.create_layout(&made, CUDA_R_32F, 1, 1, 1), "cublasLtMatrixLayoutCreate");
    return {made, lt_.destroy_layout};
  }

  void describe(const Handle<cublasLtMatrixLayout_t>& layout, const Stored& m) const {
    const auto set = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
      lt_.check(lt_.set_layout(layout.get(), attribute, &value, sizeof(value)),
                "cublasLtMatrixLayoutSetAttribute");
    };
    set(CUBLASLT_MATRIX_LAYOUT_TYPE, static_cast<uint32_t>(data_type(m.dtype)));
    set(CUBLASLT_MATRIX_LAYOUT_ROWS, static_cast<uint64_t>(m.rows));
    set(CUBLASLT_MATRIX_LAYOUT_COLS, static_cast<uint64_t>(m.cols));
    set(CUBLASLT_MATRIX_LAYOUT_LD, m.ld);
  }
  void describe(const Shape& shape) const {
    describe(first_, shape.first), describe(second_, shape.second);
    describe(onto_, shape.onto), describe(result_, shape.result);
  }

  void set_vector(const Plan& plan, const void* vector) const {
    lt_.check(
        lt_.set_operation(plan.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof(vector)),
        "bias");
  }

  const Plan& plan_of(const Shape& shape) {
    const auto found = plans_.find(shape);
    return found != plans_.end() ? found->second : plans_.emplace(shape, make(shape)).first->second;
  }

  // A function of the shape alone: whichever batch comes first, results have the same bits.
  Plan make(const Shape& shape) const {
    ++device_calls.searches;
    const bool wide = shape.first.dtype == DType::f64;
    const cublasComputeType_t compute = wide         ? CUBLAS_COMPUTE_64F
                                        : shape.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                     : CUBLAS_COMPUTE_32F;
    cublasLtMatmulDesc_t operation = nullptr;
    lt_.check(lt_.create_operation(&operation, compute, wide ? CUDA_R_64F : CUDA_R_32F),
              "cublasLtMatmulDescCreate");
    Plan plan{{operation, lt_.destroy_operation}};
    const auto transpose = [&](cublasLtMatmulDescAttributes_t attribute, bool transposed) {
      const cublasOperation_t value = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
      lt_.check(lt_.set_operation(operation, attribute, &value, sizeof(value)), "transpose");
    };
    transpose(CUBLASLT_MATMUL_DESC_TRANSA, shape.first_transposed);
    transpose(CUBLASLT_MATMUL_DESC_TRANSB, shape.second_transposed);
    if (shape.epilogue != Epilogue::Kind::none) {
      // c' has c's columns as rows: a bias is one number a row, and the column sums of b are those of the
      // first operand's rows.
      const cublasLtEpilogue_t kind =
          shape.epilogue == Epilogue::Kind::bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_BGRADA;
      lt_.check(lt_.set_operation(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &kind, sizeof(kind)), "epilogue");
      // The search looks at the address for its alignment, and not at what is there.
      set_vector(plan, reinterpret_cast<const void*>(uintptr_t{1} << shape.vector_alignment));
    }

    cublasLtMatmulPreference_t made = nullptr;
    lt_.check(lt_.create_preference(&made), "cublasLtMatmulPreferenceCreate");
    const Handle<cublasLtMatmulPreference_t> preference(made, lt_.destroy_preference);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      lt_.check(lt_.set_preference(made, attribute, &value, sizeof(value)),
                "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{workspace_bytes});
    // Where the inner side is split, parts are added in f32, and not in the type of a result in bf16.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{1} << shape.alignment[0]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t{1} << shape.alignment[1]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, uint32_t{1} << shape.alignment[2]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, uint32_t{1} << shape.alignment[3]);

    describe(shape);
    cublasLtMatmulHeuristicResult_t result = {};
    int results = 0;
    plan.state = lt_.heuristic(handle_, operation, first_.get(), second_.get(), onto_.get(), result_.get(),
                               made, 1, &result, &results);
    if (plan.state != CUBLAS_STATUS_SUCCESS) return plan;
    plan.state = results == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : result.state;
    plan.algorithm = result.algo;
    return plan;
  }

  const CublasLt& lt_;
  cublasLtHandle_t handle_ = nullptr;
  const Handle<cublasLtMatrixLayout_t> first_, second_, onto_, result_;  // of the product at hand
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
