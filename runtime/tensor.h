// Tensors: two-dimensional, row-major, with a row stride.
//
// Everything in this network is rows (tokens, links, candidates) by columns (features, heads side by side),
// so a view is a pointer, rows, cols and the distance between rows in elements. A head, or Q out of
// [U|Q|K|V], is a column slice. Jagged batches are such rows plus offsets (jagged.h). ConstView reads, View
// writes; neither owns. Tensor owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "runtime/bf16.h"
#include "runtime/device.h"
#include "runtime/error.h"

namespace lime {

// bf16 is storage only: rows of activations on a CUDA device, computed with in f32.
enum class DType : uint8_t { f32, f64, i64, bf16 };

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::i64;
}

template <>
constexpr DType dtype_of<bf16>() {
  return DType::bf16;
}

constexpr size_t size_of(DType dtype) { return dtype == DType::bf16 ? 2 : dtype == DType::f32 ? 4 : 8; }
const char* to_string(DType dtype);

class ConstView {
 public:
  ConstView() = default;
  ConstView(const void* ptr, DType dtype, Device device, int64_t rows, int64_t cols, int64_t stride)
      : ptr_(const_cast<void*>(ptr)),
        rows_(rows),
        cols_(cols),
        stride_(stride),
        device_(device),
        dtype_(dtype) {}
  // Host memory as a view, contiguous.
  template <typename T>
  ConstView(const T* ptr, int64_t rows, int64_t cols)
      : ConstView(ptr, dtype_of<T>(), Device{}, rows, cols, cols) {}

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t stride() const { return stride_; }  // elements from one row to the next
  int64_t size() const { return rows_ * cols_; }
  bool empty() const { return size() == 0; }
  size_t bytes() const { return static_cast<size_t>(size()) * size_of(dtype_); }  // of its elements
  bool contiguous() const { return stride_ == cols_ || rows_ <= 1; }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  const void* raw() const { return ptr_; }

  template <typename T>
  const T* data() const {
    check_type<T>();
    return static_cast<const T*>(ptr_);
  }
  template <typename T>
  const T* row(int64_t r) const {
    return data<T>() + r * stride_;
  }

  ConstView slice_rows(int64_t begin, int64_t end) const { return sliced(begin, end, 0, cols_); }
  ConstView slice_cols(int64_t begin, int64_t end) const { return sliced(0, rows_, begin, end); }

 protected:
  template <typename T>
  void check_type() const {
    LIME_CHECK(dtype_ == dtype_of<T>(), "tensor holds ", to_string(dtype_));
  }
  ConstView sliced(int64_t r0, int64_t r1, int64_t c0, int64_t c1) const {
    LIME_CHECK(0 <= r0 && r0 <= r1 && r1 <= rows_ && 0 <= c0 && c0 <= c1 && c1 <= cols_, "slice [", r0, ",",
               r1, ")x[", c0, ",", c1, ") of ", rows_, "x", cols_);
    auto* p = static_cast<char*>(ptr_) + static_cast<size_t>(r0 * stride_ + c0) * size_of(dtype_);
    return {p, dtype_, device_, r1 - r0, c1 - c0, stride_};
  }

  void* ptr_ = nullptr;
  int64_t rows_ = 0, cols_ = 0, stride_ = 0;
  Device device_;
  DType dtype_ = DType::f32;
};

class View : public ConstView {
 public:
  View() = default;
  View(void* ptr, DType dtype, Device device, int64_t rows, int64_t cols, int64_t stride)
      : ConstView(ptr, dtype, device, rows, cols, stride) {}
  template <typename T>
  requires(!std::is_const_v<T> && !std::is_void_v<T>) View(T* ptr, int64_t rows, int64_t cols)
      : ConstView(ptr, rows, cols) {}

  void* raw() const { return ptr_; }
  template <typename T>
  T* data() const {
    check_type<T>();
    return static_cast<T*>(ptr_);
  }
  template <typename T>
  T* row(int64_t r) const {
    return data<T>() + r * stride_;
  }

  View slice_rows(int64_t begin, int64_t end) const { return from(sliced(begin, end, 0, cols_)); }
  View slice_cols(int64_t begin, int64_t end) const { return from(sliced(0, rows_, begin, end)); }

 private:
  static View from(const ConstView& v) {
    return {const_cast<void*>(v.raw()), v.dtype(), v.device(), v.rows(), v.cols(), v.stride()};
  }
};

// Owns contiguous memory, 64-byte aligned, zeroed. Move-only.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Device device, DType dtype, int64_t rows, int64_t cols);

  View view() const { return view_; }
  operator View() const { return view_; }
  int64_t rows() const { return view_.rows(); }
  int64_t cols() const { return view_.cols(); }

 private:
  std::shared_ptr<void> memory_;
  View view_;
};

}  // namespace lime
