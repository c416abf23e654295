// OutOfMemory: the system has no more. Who knows what the memory was for catches it, and says so.
#pragma once

#include "runtime/error.h"

namespace lime {

class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace lime
