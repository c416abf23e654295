// Fuzz targets: what is done with any bytes that a user or a disk may hand us. CONTRIBUTING.md says how they
// are run.
//
// A target takes its input through the code under test and checks what is promised of bad input: a UserError
// of one line that names the file or key, or a result that holds together. Anything else that is thrown ends
// the fuzzer, as a FuzzFailure does, a crash, a sanitizer's finding, or an input that takes too long or too
// much memory.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/error.h"

namespace lime::fuzz {

struct Target {
  const char* name;
  void (*run)(std::string_view input);
  std::vector<std::string> (*seeds)();  // valid inputs, to begin with
};

extern const Target csv, mapping, import, config, dataset_yaml, manifest, best, checkpoint, parts, item_cache,
    scorer;
std::vector<const Target*> all_targets();

class FuzzFailure : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// What is promised does not hold.
template <typename... Args>
void require(bool holds, const Args&... what) {
  if (!holds) throw FuzzFailure(str(what...));
}

// A message that a user is to read has `name` in it. (That it is one line, runtime/one_line.h sees to.)
void check_message(const std::string& message, std::string_view name);

// Runs `body`: the message of the UserError that it threw, or nothing.
template <typename Body>
std::optional<std::string> refusal(std::string_view name, Body&& body) {
  try {
    body();
    return std::nullopt;
  } catch (const UserError& error) {
    check_message(error.what(), name);
    return error.what();
  }
}

// Takes values off the front of an input; zeros, and empty texts, where it is used up.
class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  uint64_t bits(size_t bytes);
  uint8_t byte() { return static_cast<uint8_t>(bits(1)); }
  // A number that goes to the edges of what 64 bits hold: one byte says how it is made of the next ones.
  int64_t number();
  std::string_view rest() { return bytes_; }
  // Up to the next `end`, which is taken off as well.
  std::string_view until(std::string_view end);

 private:
  std::string_view bytes_;
};

// A file that is damaged: the input is a list of changes, in words of 8 bytes, to a whole one. Bytes are
// flipped or set, numbers written over, a piece is copied or zeroed, the end is cut off.
std::string damaged(std::string whole, Input& changes);
// Such a change.
std::string flip(uint64_t at, uint8_t mask);
std::string cut(uint64_t size);

// A folder of this process, in memory where the system has a place for that; gone at its end.
const std::string& scratch();
std::string scratch_file(const std::string& name, std::string_view text);  // its path
std::string read_whole(const std::string& path);

}  // namespace lime::fuzz
