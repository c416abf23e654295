// Argument checks shared by the communicators, internal to parallel/. A failed check is a bug of the caller:
// Error.
#pragma once

#include <span>

#include "parallel/communicator.h"

namespace lime {

void check_buffer(const Communicator&, const ConstView&, const char* collective);
void check_all_gather(const Communicator&, const ConstView& in, const ConstView& out);
void check_reduce_scatter(const Communicator&, const ConstView& in, const ConstView& out);
void check_all_to_all_v(const Communicator&, const ConstView& send, std::span<const int64_t> send_counts,
                        const ConstView& recv, std::span<const int64_t> recv_counts);
void check_root(const Communicator&, int root, const char* collective);

}  // namespace lime
