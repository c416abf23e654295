#include "parallel/device_communicator.h"

#include <set>
#include <string>

#include "parallel/comm_nccl.h"
#include "parallel/comm_staged.h"
#include "runtime/cuda_device.h"

namespace lime {

bool ranks_share_a_device(Communicator& host, Device device) {
  const std::string mine = cuda::identity(device.index);
  const auto all = gather_bytes(host, mine, 0);
  const std::set<std::vector<char>> distinct(all.begin(), all.end());
  int64_t shared = distinct.size() < all.size();
  host.broadcast(View(&shared, 1, 1), 0)->wait();
  return shared != 0;
}

std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Context& ctx) {
  if (ctx.device().type == DeviceType::cpu) return host.duplicate();
  if (host.size() == 1) return make_self_communicator(ctx);
  if (ranks_share_a_device(host, ctx.device())) return make_staged_communicator(host, ctx);
  return make_nccl_communicator(host, ctx);
}

Device device_of_rank(std::string_view text, const ProcessGroup& group) {
  Device device = parse_device(text);
  if (text == "cuda") device.index = group.local_rank();
  return device;
}

}  // namespace lime
