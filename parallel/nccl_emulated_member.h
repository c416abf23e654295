// One rank's end of an emulated NCCL communicator. Ranks are joined by sockets of the host, all to all; a
// message is a header, which the receiver compares with what it waits for, and the bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "parallel/nccl_library.h"

namespace lime::emulated_nccl {

enum class Kind : uint32_t { point_to_point, all_gather, broadcast };

// What two ranks are joined by when a call first needs it: the send of the one with the receive of the other,
// and each kind of collective.
enum class Link : uint32_t { send, receive, all_gather, broadcast };

struct Header {
  Kind kind;
  uint64_t bytes;
};

// One message: what is to be said of it, and how far it is.
struct Transfer {
  int peer;
  char* data;
  Header header;
  size_t header_done = 0, done = 0;
  Header heard = {};
  bool finished() const { return header_done == sizeof(Header) && done == header.bytes; }
};

// What one group makes a stream do.
struct Operation {
  struct Copy {
    const void* from;
    void* to;
    size_t bytes;
  };
  std::vector<Transfer> sends, receives;
  std::vector<Copy> copies;
  std::chrono::steady_clock::time_point since{};
};

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// What streams have of it outlives its handle.
class Member {
 public:
  Member(int rank, int ranks, std::string id);

  const int rank, size;
  ncclResult_t state = ncclInProgress;
  std::string last_error;
  int polls = 0;                                                       // until what is in progress is done
  std::vector<std::pair<void*, std::weak_ptr<Operation>>> operations;  // and their streams; gone when done

  bool connected() const { return connected_; }
  bool stopped() const { return state != ncclSuccess && state != ncclInProgress; }
  // Ends it, once: the others hear of it.
  void fail(ncclResult_t, const std::string& reason);
  // A look for the other ranks: lower ones are called, higher ones call. All there: state becomes success.
  void meet();
  // The links of an operation are asked for: those that are new become so when the other ranks ask, too.
  void need_links(const Operation&);
  bool has_links();  // those that were asked for
  // Does of it what goes without waiting. Whether nothing is left to do: after a failure nothing is.
  bool carry_on(Operation&);

 private:
  struct Hello;
  struct Asked;
  void need(const Transfer&, Link of_point_to_point);
  void say_hello(const Socket& to);
  bool hear_hello(const Socket& from, Hello&);  // whether one has said all
  bool carry_on(Transfer&, bool sends);
  void carry_on(std::vector<Transfer>&, bool sends);

  const std::string id_;
  Socket listener_;
  std::vector<Socket> peers_;        // by rank
  std::vector<std::string> places_;  // empty: has not said
  std::vector<Socket> strangers_;    // accepted, and have not said who they are
  bool connected_ = false;
  Socket links_;  // where other ranks ask
  std::set<std::pair<Link, int>> needed_, offered_;
  std::deque<std::pair<Link, int>> to_ask_;
};

}  // namespace lime::emulated_nccl
