// The C library as the files of hdf5_file.h see it: its lock, its ids, its error messages, its types. The one
// home of hdf5.h.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "io/hdf5_file.h"

namespace lime {

// Held while the library is called. HDF5 may be built without thread safety, and where it has it, it is one
// global lock as well.
class Hdf5Lock {
 public:
  Hdf5Lock();

 private:
  std::lock_guard<std::recursive_mutex> lock_;
};

// Owns an id of the library.
class Hdf5Handle {
 public:
  using Closer = herr_t (*)(hid_t);
  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Closer closer) : id_(id), closer_(closer) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), closer_(other.closer_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(closer_, other.closer_);
    return *this;
  }
  ~Hdf5Handle() { close(); }
  herr_t close() { return id_ >= 0 ? closer_(std::exchange(id_, -1)) : 0; }
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = -1;
  Closer closer_ = nullptr;
};

// The innermost entry of HDF5's error stack that says something, on one line. Clears the stack.
std::string hdf5_error();

const char* to_string(H5Type);
size_t size_of(H5Type);
hid_t hdf5_memory_type(H5Type);
hid_t hdf5_file_type(H5Type);
// Of a type found in a file; nothing where it is no column of integers or floats.
std::optional<H5Type> hdf5_stored_type(hid_t type);

}  // namespace lime
