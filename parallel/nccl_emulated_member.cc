#include "parallel/nccl_emulated_member.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include "runtime/emulator/memory.h"
#include "runtime/error.h"

namespace lime::emulated_nccl {

namespace {

using Clock = std::chrono::steady_clock;

// A kernel behind a collective in its stream waits for it here, where on a device the host would go on and
// find its own limit.
constexpr std::chrono::seconds longest_wait{60};
constexpr const char* links_suffix = "-links";

const char* to_string(Kind kind) {
  return kind == Kind::all_gather ? "all-gather" : kind == Kind::broadcast ? "broadcast" : "send and receive";
}

Socket new_socket(int type = SOCK_STREAM) {
  return Socket(socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

// Without a file: a name that goes with its socket.
std::pair<sockaddr_un, socklen_t> address(const std::string& id, int rank) {
  sockaddr_un result{};
  result.sun_family = AF_UNIX;
  const std::string name = str(id, "-", rank);
  std::memcpy(result.sun_path + 1, name.data(), std::min(name.size(), sizeof(result.sun_path) - 1));
  return {result, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())};
}

std::string place_of_this_rank() {
  const char* said = std::getenv("NCCL_HOSTID");
  char host[64] = {};
  gethostname(host, sizeof(host) - 1);
  return str(said ? said : host, " device ", emulator::active_device());
}

size_t index(int i) { return static_cast<size_t>(i); }

}  // namespace

struct Member::Asked {
  int rank;
  Link link;
};

struct Member::Hello {
  int rank;
  char place[124];  // host and device
};

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

Member::Member(int of, int ranks, std::string name)
    : rank(of), size(ranks), id_(std::move(name)), peers_(index(ranks)), places_(index(ranks)) {
  places_[index(rank)] = place_of_this_rank();
  listener_ = new_socket();
  links_ = new_socket(SOCK_DGRAM);
  const auto [at, length] = address(id_, rank);
  const auto [links_at, links_length] = address(id_ + links_suffix, rank);
  if (bind(listener_.fd(), reinterpret_cast<const sockaddr*>(&at), length) != 0 ||
      bind(links_.fd(), reinterpret_cast<const sockaddr*>(&links_at), links_length) != 0 ||
      listen(listener_.fd(), 128) != 0)
    fail(ncclInternalError, str("no socket: ", std::strerror(errno)));
}

void Member::fail(ncclResult_t result, const std::string& reason) {
  if (stopped()) return;
  state = result;
  last_error = reason;
  for (Socket& peer : peers_) peer = Socket();
}

void Member::say_hello(const Socket& to) {
  Hello hello{rank, {}};
  places_[index(rank)].copy(hello.place, sizeof(hello.place) - 1);
  if (send(to.fd(), &hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello))
    fail(ncclRemoteError, "a rank left while the ranks met");
}

bool Member::hear_hello(const Socket& from, Hello& hello) {
  const ssize_t there = recv(from.fd(), &hello, sizeof(hello), MSG_PEEK);
  if (there == 0) fail(ncclRemoteError, "a rank left while the ranks met");
  if (there != sizeof(hello)) return false;
  recv(from.fd(), &hello, sizeof(hello), 0);
  return true;
}

void Member::meet() {
  for (int r = 0; r < rank; ++r) {
    Socket& peer = peers_[index(r)];
    if (!peer) {
      Socket called = new_socket();
      const auto [at, length] = address(id_, r);
      if (connect(called.fd(), reinterpret_cast<const sockaddr*>(&at), length) != 0)
        continue;  // not there yet
      peer = std::move(called);
      say_hello(peer);
    }
    Hello hello;
    if (places_[index(r)].empty() && hear_hello(peer, hello)) places_[index(r)] = hello.place;
  }
  for (;;) {
    Socket caller(accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!caller) break;
    say_hello(caller);
    strangers_.push_back(std::move(caller));
  }
  for (Socket& stranger : strangers_) {
    Hello hello;
    if (!stranger || !hear_hello(stranger, hello)) continue;
    places_[index(hello.rank)] = hello.place;
    peers_[index(hello.rank)] = std::move(stranger);
  }
  if (stopped() || std::any_of(places_.begin(), places_.end(), [](const auto& p) { return p.empty(); }))
    return;
  connected_ = true;
  std::map<std::string, int> seen;
  for (int r = 0; r < size; ++r) {
    const auto [other, is_new] = seen.emplace(places_[index(r)], r);
    if (!is_new)
      return fail(ncclInvalidUsage, str("Duplicate GPU detected : rank ", other->second, " and rank ", r,
                                        " both on ", places_[index(r)]));
  }
  state = ncclSuccess;
}

void Member::need(const Transfer& t, Link of_point_to_point) {
  const Link link = t.header.kind == Kind::all_gather  ? Link::all_gather
                    : t.header.kind == Kind::broadcast ? Link::broadcast
                                                       : of_point_to_point;
  if (needed_.insert({link, t.peer}).second) to_ask_.emplace_back(link, t.peer);
}

void Member::need_links(const Operation& operation) {
  for (const Transfer& t : operation.sends) need(t, Link::send);
  for (const Transfer& t : operation.receives) need(t, Link::receive);
}

bool Member::has_links() {
  for (; !to_ask_.empty(); to_ask_.pop_front()) {
    const auto [link, peer] = to_ask_.front();
    const Asked asked{rank, link};
    const auto [at, length] = address(id_ + links_suffix, peer);
    if (sendto(links_.fd(), &asked, sizeof(asked), 0, reinterpret_cast<const sockaddr*>(&at), length) < 0)
      break;  // others fill its queue, or it is gone
  }
  for (Asked asked; recv(links_.fd(), &asked, sizeof(asked), 0) == sizeof(asked);)
    offered_.emplace(asked.link, asked.rank);
  return to_ask_.empty() && std::ranges::all_of(needed_, [&](const auto& needed) {
           const auto [link, peer] = needed;
           const Link other = link == Link::send ? Link::receive : link == Link::receive ? Link::send : link;
           return offered_.contains({other, peer});
         });
}

// Sends or receives what goes without waiting. Whether that was all.
bool Member::carry_on(Transfer& t, bool sends) {
  const int fd = peers_[index(t.peer)].fd();
  while (!t.finished()) {
    const bool header = t.header_done < sizeof(Header);
    char* from =
        header ? reinterpret_cast<char*>(sends ? &t.header : &t.heard) + t.header_done : t.data + t.done;
    const size_t left = header ? sizeof(Header) - t.header_done : t.header.bytes - t.done;
    const ssize_t moved =
        sends ? send(fd, from, left, MSG_DONTWAIT | MSG_NOSIGNAL) : recv(fd, from, left, MSG_DONTWAIT);
    if (moved < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (moved <= 0) {
      fail(ncclRemoteError, str("rank ", t.peer, " closed its connection"));
      return false;
    }
    (header ? t.header_done : t.done) += static_cast<size_t>(moved);
    if (!sends && header && t.header_done == sizeof(Header) &&
        (t.heard.kind != t.header.kind || t.heard.bytes != t.header.bytes))
      throw Error(str("NCCL, emulated: rank ", t.peer, " sends ", t.heard.bytes, " bytes by ",
                      to_string(t.heard.kind), " where rank ", rank, " receives ", t.header.bytes, " by ",
                      to_string(t.header.kind)));
  }
  return true;
}

// Messages between two ranks are in order, each way; those of different peers are not.
void Member::carry_on(std::vector<Transfer>& transfers, bool sends) {
  std::vector<bool> waits(index(size));
  for (Transfer& t : transfers) {
    if (stopped()) return;
    if (!waits[index(t.peer)] && !carry_on(t, sends)) waits[index(t.peer)] = true;
  }
}

bool Member::carry_on(Operation& operation) {
  if (stopped()) return true;
  const emulator::Access access;
  for (const auto& [from, to, bytes] : std::exchange(operation.copies, {})) std::memmove(to, from, bytes);
  carry_on(operation.sends, true);
  carry_on(operation.receives, false);
  const auto finished = [](const Transfer& t) { return t.finished(); };
  if (stopped()) return true;
  if (std::all_of(operation.sends.begin(), operation.sends.end(), finished) &&
      std::all_of(operation.receives.begin(), operation.receives.end(), finished)) {
    emulator::check_guards("NCCL");
    return true;
  }
  if (operation.since == Clock::time_point{}) operation.since = Clock::now();
  if (Clock::now() - operation.since > longest_wait) fail(ncclInternalError, "a rank does not come");
  return stopped();
}

}  // namespace lime::emulated_nccl
