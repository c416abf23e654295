#include "tests/fuzz/fuzz_target.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

namespace lime::fuzz {
namespace {

namespace fs = std::filesystem;

enum class Change : uint8_t { flip, set, number, zero, copy, cut };

constexpr size_t change_bytes = 8;  // what, a value, where (4), two more

std::string change(Change what, uint8_t value, uint64_t at, uint16_t more) {
  std::string text(change_bytes, '\0');
  text[0] = static_cast<char>(what);
  text[1] = static_cast<char>(value);
  for (size_t i = 0; i < 4; ++i) text[2 + i] = static_cast<char>(at >> 8 * i);
  for (size_t i = 0; i < 2; ++i) text[6 + i] = static_cast<char>(more >> 8 * i);
  return text;
}

constexpr int64_t edges[] = {0,
                             1,
                             -1,
                             127,
                             255,
                             65535,
                             std::numeric_limits<int32_t>::max(),
                             std::numeric_limits<uint32_t>::max(),
                             int64_t{1} << 40,
                             int64_t{1} << 53,
                             int64_t{1} << 60,
                             std::numeric_limits<int64_t>::max() / 8,
                             std::numeric_limits<int64_t>::max(),
                             std::numeric_limits<int64_t>::min()};

int64_t edge(uint8_t which) { return edges[which % std::size(edges)]; }

class Folder {
 public:
  Folder() {
    std::error_code none;
    const std::string where =
        fs::is_directory("/dev/shm", none) ? "/dev/shm" : fs::temp_directory_path().string();
    path_ = where + "/lime_fuzz_XXXXXX";
    if (!mkdtemp(path_.data())) throw std::runtime_error("cannot make " + path_);
  }
  ~Folder() {
    std::error_code none;
    fs::remove_all(path_, none);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

std::vector<const Target*> all_targets() {
  return {&csv,  &mapping,    &import, &config,     &dataset_yaml, &manifest,
          &best, &checkpoint, &parts,  &item_cache, &scorer};
}

void check_message(const std::string& message, std::string_view name) {
  require(!message.empty(), "a refusal without a word");
  require(message.find(name) != std::string::npos, "does not name ", name, ": ", message);
}

uint64_t Input::bits(size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes && !bytes_.empty(); ++i) {
    value |= uint64_t{static_cast<uint8_t>(bytes_.front())} << 8 * i;
    bytes_.remove_prefix(1);
  }
  return value;
}

int64_t Input::number() {
  const uint8_t how = byte();
  if (how < 128) return static_cast<int64_t>(how % 64) - 16;
  if (how < 192) return edge(how) > 0 ? edge(how) - byte() % 2 : edge(how) + byte() % 2;
  return static_cast<int64_t>(bits(how % 8 + 1));
}

std::string_view Input::until(std::string_view end) {
  const size_t at = bytes_.find(end);
  const std::string_view taken = bytes_.substr(0, at);
  bytes_.remove_prefix(at == std::string_view::npos ? bytes_.size() : at + end.size());
  return taken;
}

std::string damaged(std::string whole, Input& changes) {
  while (!changes.empty() && !whole.empty()) {
    const auto what = static_cast<Change>(changes.byte() % 6);
    const uint8_t value = changes.byte();
    const size_t at = changes.bits(4) % whole.size(), more = changes.bits(2);
    const int64_t number = edge(value);
    const size_t room = std::min(whole.size() - at, what == Change::number ? sizeof number : more);
    switch (what) {
      case Change::flip:
        whole[at] = static_cast<char>(whole[at] ^ value);
        break;
      case Change::set:
        whole[at] = static_cast<char>(value);
        break;
      case Change::number:
        std::memcpy(whole.data() + at, &number, room);
        break;
      case Change::zero:
        std::fill_n(whole.begin() + static_cast<ptrdiff_t>(at), room, '\0');
        break;
      case Change::copy: {
        const std::string piece = whole.substr(at * value % whole.size(), room);
        std::copy(piece.begin(), piece.end(), whole.begin() + static_cast<ptrdiff_t>(at));
        break;
      }
      case Change::cut:
        whole.resize(at);
        break;
    }
  }
  return whole;
}

std::string flip(uint64_t at, uint8_t mask) { return change(Change::flip, mask, at, 0); }
std::string cut(uint64_t size) { return change(Change::cut, 0, size, 0); }

const std::string& scratch() {
  static const Folder folder;
  return folder.path();
}

std::string scratch_file(const std::string& name, std::string_view text) {
  std::string path = scratch() + "/" + name;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) throw std::runtime_error("cannot write " + path);
  return path;
}

std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace lime::fuzz
