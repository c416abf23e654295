// The emulated cuBLASLt answers as the library's documentation says, and finds what the library leaves
// undefined.
#include <gmock/gmock.h>

#include "runtime/cublaslt.h"
#include "runtime/memory.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

using testing::HasSubstr;

// d (4 x 2) = a (4 x 3) b (3 x 2), column-major, of ones.
class CublasLtEmulated : public DeviceTest {
 protected:
  CublasLtEmulated() : DeviceTest({DeviceType::cuda, 0}) {
    fill(ctx, memory.view(), 1);
    lt.create(&handle);
    lt.create_operation(&op, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    lt.create_layout(&a, CUDA_R_32F, 4, 3, 4);
    lt.create_layout(&b, CUDA_R_32F, 3, 2, 3);
    lt.create_layout(&c, CUDA_R_32F, 4, 2, 4);
    lt.create_preference(&preference);
  }
  ~CublasLtEmulated() override {
    lt.destroy_preference(preference);
    for (const auto layout : {a, b, c}) lt.destroy_layout(layout);
    lt.destroy_operation(op);
    lt.destroy(handle);
  }

  float* at(int64_t i) const { return memory.view().data<float>() + i; }
  cublasStatus_t search() {
    int found = 0;
    const cublasStatus_t status = lt.heuristic(handle, op, a, b, c, c, preference, 1, &result, &found);
    EXPECT_EQ(found, status == CUBLAS_STATUS_SUCCESS);
    return status;
  }
  cublasStatus_t multiply(const void* first, void* onto, void* d) {
    const float alpha = 2, beta = 1;
    return lt.matmul(handle, op, &alpha, first, a, at(64), b, &beta, onto, c, d, c, &result.algo, at(512),
                     256, static_cast<cudaStream_t>(ctx.stream().handle()));
  }
  std::string message(const void* first, void* onto, void* d) {
    try {
      return str("status ", static_cast<int>(multiply(first, onto, d)));
    } catch (const Error& e) {
      return e.what();
    }
  }
  template <typename T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    lt.set_preference(preference, attribute, &value, sizeof(value));
  }
  void any_alignment() {
    for (const auto operand :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      set(operand, uint32_t{4});
  }

  const CublasLt& lt = cublaslt();
  Tensor memory{ctx.device(), DType::f32, 1, 1024};
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t op = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t result = {};
};

TEST_F(CublasLtEmulated, Multiplies) {
  ASSERT_EQ(search(), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(at(0), at(128), at(256)), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(to_host<float>(ctx, memory.view())[256 + 7], 2 * 3 + 1);
}

TEST_F(CublasLtEmulated, RefusesWhatDoesNotFit) {
  const int64_t narrow = 3;
  lt.set_layout(a, CUBLASLT_MATRIX_LAYOUT_LD, &narrow, sizeof(narrow));
  EXPECT_EQ(search(), CUBLAS_STATUS_INVALID_VALUE);
  const int64_t enough = 4;
  lt.set_layout(a, CUBLASLT_MATRIX_LAYOUT_LD, &enough, sizeof(enough));
  EXPECT_EQ(search(), CUBLAS_STATUS_SUCCESS);
  const uint64_t rows = 5;
  lt.set_layout(b, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof(rows));
  EXPECT_EQ(search(), CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLtEmulated, RefusesTypesAndColumnsThatItHasNot) {
  const auto set_type = [&](cudaDataType_t type) {
    const auto value = static_cast<uint32_t>(type);
    for (const auto layout : {a, b})
      lt.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_TYPE, &value, sizeof(value));
  };
  set_type(CUDA_R_64F);
  EXPECT_EQ(search(), CUBLAS_STATUS_NOT_SUPPORTED);
  set_type(CUDA_R_16BF);
  EXPECT_EQ(search(), CUBLAS_STATUS_SUCCESS);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  lt.set_operation(op, CUBLASLT_MATMUL_DESC_TRANSB, &transposed, sizeof(transposed));
  const auto set_b = [&](uint64_t rows, uint64_t cols, int64_t ld) {
    lt.set_layout(b, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof(rows));
    lt.set_layout(b, CUBLASLT_MATRIX_LAYOUT_COLS, &cols, sizeof(cols));
    lt.set_layout(b, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof(ld));
  };
  set_b(2, 3, 2);
  EXPECT_EQ(search(), CUBLAS_STATUS_SUCCESS);
  const uint64_t one = 1;
  lt.set_layout(c, CUBLASLT_MATRIX_LAYOUT_COLS, &one, sizeof(one));
  set_b(1, 3, 1);
  EXPECT_EQ(search(), CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_F(CublasLtEmulated, PartsOfALongSumAreAddedAsIsAllowed) {
  constexpr uint64_t depth = 630, two = 2;
  const Tensor ones{ctx.device(), DType::bf16, 1, 4096};
  fill(ctx, ones.view(), 1);
  const auto set_layout = [&](cublasLtMatrixLayout_t layout, uint64_t rows, uint64_t cols) {
    const auto type = static_cast<uint32_t>(CUDA_R_16BF);
    const auto ld = static_cast<int64_t>(rows);
    lt.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_TYPE, &type, sizeof(type));
    lt.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof(rows));
    lt.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_COLS, &cols, sizeof(cols));
    lt.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof(ld));
  };
  set_layout(a, two, depth);
  set_layout(b, depth, two);
  set_layout(c, two, two);
  auto* const first = static_cast<bf16*>(ones.view().raw());
  const auto product = [&] {
    EXPECT_EQ(search(), CUBLAS_STATUS_SUCCESS);
    const float alpha = 1, beta = 0;
    EXPECT_EQ(lt.matmul(handle, op, &alpha, first, a, first, b, &beta, first + 2048, c, first + 2048, c,
                        &result.algo, at(512), 256, static_cast<cudaStream_t>(ctx.stream().handle())),
              CUBLAS_STATUS_SUCCESS);
    return to_float(to_host<bf16>(ctx, ones.view())[2048]);
  };
  EXPECT_EQ(product(), 636);  // 63 + 63 + ..., each sum in bf16
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  EXPECT_EQ(product(), 632);  // 630 in bf16
}

TEST_F(CublasLtEmulated, AVectorMustBeNamed) {
  const uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  lt.set_operation(op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
  EXPECT_EQ(search(), CUBLAS_STATUS_INVALID_VALUE);
  const void* vector = at(300);
  lt.set_operation(op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof(vector));
  ASSERT_EQ(search(), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(message(at(0), at(128), at(256)), "status 0");
  vector = at(301);
  lt.set_operation(op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof(vector));
  EXPECT_THAT(message(at(0), at(128), at(256)), HasSubstr("the vector is less aligned"));
  vector = &vector;
  lt.set_operation(op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &vector, sizeof(vector));
  EXPECT_THAT(message(at(0), at(128), at(256)), HasSubstr("the vector is not in the device's memory"));
}

TEST_F(CublasLtEmulated, FindsMemoryThatIsNotAsItWasSaid) {
  ASSERT_EQ(search(), CUBLAS_STATUS_SUCCESS);
  EXPECT_THAT(message(at(1), at(128), at(256)), HasSubstr("operand 0 is less aligned than the 16 bytes"));
  EXPECT_THAT(message(at(0), at(128), at(257)), HasSubstr("operand 3 is less aligned"));
  any_alignment();
  ASSERT_EQ(search(), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(message(at(1), at(129), at(257)), "status 0");
  float host[16] = {};
  EXPECT_THAT(message(host, at(128), at(256)), HasSubstr("operand 0 is not in the device's memory"));
  EXPECT_THAT(message(at(1020), at(128), at(256)), HasSubstr("operand 0 is not in the device's memory"));
  EXPECT_THAT(message(at(0), at(128), at(69)), HasSubstr("a result overlaps an operand"));
  EXPECT_THAT(message(at(0), at(250), at(256)), HasSubstr("overlaps what beta stands before"));
  EXPECT_EQ(message(at(0), at(256), at(256)), "status 0");
}

TEST_F(CublasLtEmulated, AlgorithmsAreForWhatTheyWereAskedFor) {
  ASSERT_EQ(search(), CUBLAS_STATUS_SUCCESS);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  lt.set_operation(op, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed));
  const uint64_t rows = 3, cols = 4;
  lt.set_layout(a, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof(rows));
  lt.set_layout(a, CUBLASLT_MATRIX_LAYOUT_COLS, &cols, sizeof(cols));
  EXPECT_EQ(message(at(0), at(128), at(256)), "status 7");
  const int64_t wide = 1;
  EXPECT_THROW(lt.set_operation(op, CUBLASLT_MATMUL_DESC_TRANSA, &wide, sizeof(wide)), Error);
}

}  // namespace
}  // namespace lime::cuda
