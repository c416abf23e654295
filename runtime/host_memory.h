// Host memory as Tensor, Arena and the embedding tables hold it: 64-byte aligned or better.
#pragma once

#include <cstddef>
#include <memory>

namespace lime {

inline constexpr size_t memory_alignment = 64;  // bytes: a cache line, and the widest vector

// Uninitialised; from 256 KiB on aligned to, and advised for, huge pages. Freed with std::free. Throws Error, naming the
// size, where the system has no more.
void* allocate_uninitialised(size_t bytes);
// The same, freed with the last owner.
std::shared_ptr<void> allocate_host(size_t bytes);

}  // namespace lime
