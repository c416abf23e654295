// The communicators that the list of collectives' tests runs over.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "parallel/comm_mpi.h"
#include "parallel/comm_nccl.h"
#include "parallel/comm_staged.h"
#include "parallel/device_communicator.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {

enum class Transport {
  mpi,            // the group's communicator
  tiny_messages,  // one whose messages are cut at 1001 bytes and whose all-reduces take two exchanges
  staged,         // device memory by the second
  nccl
};

inline const char* to_string(Transport transport) {
  switch (transport) {
    case Transport::mpi:
      return "mpi";
    case Transport::tiny_messages:
      return "tiny_messages";
    case Transport::staged:
      return "staged";
    case Transport::nccl:
      return "nccl";
  }
  return "?";
}

inline std::vector<Transport> transports() {
  std::vector<Transport> all{Transport::mpi, Transport::tiny_messages};
  if (built_with_cuda()) all.insert(all.end(), {Transport::staged, Transport::nccl});
  return all;
}

inline std::unique_ptr<Communicator> make_on_host(Transport transport) {
  if (transport == Transport::mpi || test_group().size() == 1) return test_group().world().duplicate();
  return make_mpi_communicator({.max_message_bytes = 1001, .direct_bytes = 0});
}

// NCCL refuses a device twice on one host: where ranks share one, let it take each rank for a host.
// Collective.
inline void take_ranks_for_hosts(Device device) {
  if (test_group().size() == 1 || !ranks_share_a_device(test_group().world(), device)) return;
  setenv("NCCL_HOSTID", str("rank", test_group().rank()).c_str(), 0);
  setenv("NCCL_SOCKET_IFNAME", "=lo", 0);
  setenv("NCCL_NET", "Socket", 0);
  setenv("NCCL_MNNVL_ENABLE", "0", 0);
}

// A transport with its context, or why there is none. Kept from test to test: NCCL's ranks meet slowly.
struct Connection {
  std::unique_ptr<Context> ctx;
  std::unique_ptr<Communicator> host, comm;
  std::string missing;

  explicit Connection(Transport transport) {
    const bool on_device = transport == Transport::staged || transport == Transport::nccl;
    Device device = on_device ? device_of_rank("cuda", test_group()) : Device{};
    if (on_device && !skip_reason(device).empty()) device.index = 0;  // fewer devices than ranks: all on one
    if (missing = skip_reason(device); !missing.empty()) return;
    ctx = std::make_unique<Context>(device);
    host = make_on_host(on_device ? Transport::tiny_messages : transport);
    if (transport == Transport::staged) comm = make_staged_communicator(*host, *ctx);
    if (transport == Transport::nccl) connect_nccl(device);
  }
  Communicator& communicator() { return comm ? *comm : *host; }

 private:
  void connect_nccl(Device device) {
    take_ranks_for_hosts(device);
    try {
      comm = make_nccl_communicator(*host, *ctx);
    } catch (const UserError& e) {
      missing = e.what();
    }
  }
};

}  // namespace lime
