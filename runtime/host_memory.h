// Host memory as Tensor and Arena hold it: 64-byte aligned, freed with the last owner.
#pragma once

#include <cstddef>
#include <memory>

namespace lime {

inline constexpr size_t memory_alignment = 64;  // bytes: a cache line, and the widest vector

// Uninitialised. Throws Error, naming the size, where the system has no more.
std::shared_ptr<void> allocate_host(size_t bytes);

}  // namespace lime
