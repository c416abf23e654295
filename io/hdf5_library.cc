#include "io/hdf5_library.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lime {
namespace {

std::recursive_mutex& library_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

// A float of 16 bits: sign, `exponent` bits, and what is left.
hid_t float_of_16_bits(size_t exponent) {
  const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  const size_t mantissa = 15 - exponent;
  H5Tset_fields(type, 15, mantissa, exponent, 0, mantissa);
  H5Tset_size(type, 2);
  H5Tset_ebias(type, (size_t{1} << (exponent - 1)) - 1);
  return type;
}

// IEEE's binary16, as h5py and NumPy know it: HDF5 1.10 has no name for it.
hid_t half_type() {
  static const hid_t type = float_of_16_bits(5);
  return type;
}

// HDF5 2.0's H5T_FLOAT_BFLOAT16LE. NumPy has no such type: h5py reads it as float32.
hid_t bf16_type() {
  static const hid_t type = float_of_16_bits(8);
  return type;
}

}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(library_mutex()) {
  // After a file that could not be closed (a full disk), HDF5 1.10's clean-up at exit crashes; Hdf5File
  // closes its own.
  static const bool without_exit_handler = H5dont_atexit() >= 0;
  static_cast<void>(without_exit_handler);
  static thread_local bool silenced = false;  // the error stack, and printing it, is per thread
  if (!silenced) H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  silenced = true;
}

std::string hdf5_error() {
  std::string text;
  auto visit = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
    auto& reason = *static_cast<std::string*>(out);
    if (reason.empty() && entry->desc && *entry->desc) reason = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, visit, &text);
  H5Eclear2(H5E_DEFAULT);
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  // "file write failed: time = ..., filename = ..., errno = 28, error message = 'No space left on device',
  // buf = ...", or "unable to open file: name = ..., errno = 2, error message = '...', flags = ..."
  const std::string cause = "error message = '";
  if (const size_t at = text.find(cause), details = std::min(text.find(": time ="), text.find(": name ="));
      at != std::string::npos && details < at) {
    const size_t begin = at + cause.size();
    text = text.substr(0, details) + ": " + text.substr(begin, text.find('\'', begin) - begin);
  }
  if (text.find("unable to lock file") != std::string::npos &&
      text.find(std::strerror(EAGAIN)) != std::string::npos)
    text = "another process has it open";
  // HDF5 1.14 no longer says which filter it was: of ours, checksums come first.
  for (const char* filter : {"Fletcher32", "filter returned failure during read"})
    if (text.find(filter) != std::string::npos) text = "checksum error (" + text + ")";
  return text.empty() ? "HDF5 gave no reason" : text;
}

const char* to_string(H5Type type) {
  static constexpr const char* names[] = {"i8", "u8", "i32", "i64", "f32", "f64", "f16", "bf16"};
  return names[static_cast<int>(type)];
}

size_t size_of(H5Type type) {
  constexpr size_t bytes[] = {1, 1, 4, 8, 4, 8, 2, 2};
  return bytes[static_cast<size_t>(type)];
}

hid_t hdf5_memory_type(H5Type type) {
  switch (type) {
    case H5Type::i8:
      return H5T_NATIVE_INT8;
    case H5Type::u8:
      return H5T_NATIVE_UINT8;
    case H5Type::i32:
      return H5T_NATIVE_INT32;
    case H5Type::i64:
      return H5T_NATIVE_INT64;
    case H5Type::f32:
      return H5T_NATIVE_FLOAT;
    case H5Type::f16:
      return half_type();
    case H5Type::bf16:
      return bf16_type();
    default:
      return H5T_NATIVE_DOUBLE;
  }
}

hid_t hdf5_file_type(H5Type type) {
  switch (type) {
    case H5Type::i8:
      return H5T_STD_I8LE;
    case H5Type::u8:
      return H5T_STD_U8LE;
    case H5Type::i32:
      return H5T_STD_I32LE;
    case H5Type::i64:
      return H5T_STD_I64LE;
    case H5Type::f32:
      return H5T_IEEE_F32LE;
    case H5Type::f16:
      return half_type();
    case H5Type::bf16:
      return bf16_type();
    default:
      return H5T_IEEE_F64LE;
  }
}

std::optional<H5Type> hdf5_stored_type(hid_t type) {
  const size_t size = H5Tget_size(type);
  const H5T_class_t cls = H5Tget_class(type);
  if (cls == H5T_FLOAT && (size == 4 || size == 8)) return size == 4 ? H5Type::f32 : H5Type::f64;
  if (H5Tequal(type, half_type()) > 0) return H5Type::f16;
  if (H5Tequal(type, bf16_type()) > 0) return H5Type::bf16;
  if (cls != H5T_INTEGER) return std::nullopt;
  if (size == 1) return H5Tget_sign(type) == H5T_SGN_NONE ? H5Type::u8 : H5Type::i8;
  return size <= 4 ? H5Type::i32 : H5Type::i64;
}

}  // namespace lime
