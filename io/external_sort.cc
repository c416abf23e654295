#include "io/external_sort.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <queue>
#include <utility>

#include "runtime/error.h"

namespace lime {
namespace {

constexpr size_t block_bytes = size_t{16} << 10;   // of records in memory
constexpr size_t write_bytes = size_t{256} << 10;  // buffer of a run being written
constexpr size_t max_fan_in = 64;  // runs merged at once, within the usual limits on open files

struct Header {
  SortKey key;
  int64_t size;
};

class RunFile {
 public:
  RunFile(std::string path, const char* mode, size_t buffer) : path_(std::move(path)), buffer_(buffer) {
    file_ = std::fopen(path_.c_str(), mode);
    if (!file_) fail("open");
    std::setvbuf(file_, buffer_.data(), _IOFBF, buffer_.size());
  }
  RunFile(const RunFile&) = delete;
  RunFile& operator=(const RunFile&) = delete;
  ~RunFile() {
    if (file_) std::fclose(file_);
  }

  void write(const SortKey& key, std::string_view record) {
    const Header header{key, static_cast<int64_t>(record.size())};
    if (fwrite_unlocked(&header, sizeof header, 1, file_) != 1) fail("write");
    if (!record.empty() && fwrite_unlocked(record.data(), record.size(), 1, file_) != 1) fail("write");
  }
  bool read(SortKey& key, std::string& record) {
    Header header;
    if (fread_unlocked(&header, sizeof header, 1, file_) != 1) {
      if (std::ferror(file_)) fail("read");
      return false;
    }
    key = header.key;
    record.resize(static_cast<size_t>(header.size));
    if (header.size > 0 && fread_unlocked(record.data(), record.size(), 1, file_) != 1) fail("read");
    return true;
  }
  void close() {
    if (std::fclose(std::exchange(file_, nullptr)) != 0) fail("write");
  }
  void remove() {
    if (file_) std::fclose(std::exchange(file_, nullptr));
    std::remove(path_.c_str());
  }

 private:
  [[noreturn]] void fail(const char* action) {
    const int reason = errno;
    throw UserError(
        str(path_, ": cannot ", action, " a temporary file for sorting: ", std::strerror(reason)));
  }
  std::string path_;
  std::vector<char> buffer_;
  std::FILE* file_ = nullptr;
};

struct Cursor {
  std::unique_ptr<RunFile> file;
  SortKey key;
  std::string record;
};

// Several sorted runs as one.
class Merge {
 public:
  Merge(const std::vector<std::string>& paths, size_t buffer) {
    for (const auto& path : paths) {
      cursors_.push_back({std::make_unique<RunFile>(path, "rb", buffer), {}, {}});
      push(cursors_.size() - 1);
    }
  }
  bool next() {
    if (current_ != none) push(current_);
    current_ = none;
    if (heap_.empty()) return false;
    current_ = heap_.top().second;
    heap_.pop();
    return true;
  }
  const Cursor& current() const { return cursors_[current_]; }

 private:
  static constexpr size_t none = ~size_t{0};
  void push(size_t i) {
    if (cursors_[i].file->read(cursors_[i].key, cursors_[i].record))
      heap_.push({cursors_[i].key, i});
    else
      cursors_[i].file->remove();
  }
  using Entry = std::pair<SortKey, size_t>;
  std::vector<Cursor> cursors_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> heap_;
  size_t current_ = none;
};

}  // namespace

struct ExternalSorter::Impl {
  struct Entry {
    SortKey key;
    const char* bytes;
    size_t size;
  };
  std::string directory, name;
  Tally tally;
  std::vector<Entry> entries;
  std::vector<std::unique_ptr<char[]>> blocks;
  size_t block_used = 0, block_size = 0, held = 0;
  int64_t runs_made = 0;
  std::vector<std::string> runs;
  std::unique_ptr<Merge> merge;
  size_t at = 0;  // entries walked, if nothing was spilled

  char* take(size_t size) {
    if (blocks.empty() || block_used + size > block_size) {
      block_size = std::max(size, block_bytes);
      blocks.push_back(std::make_unique<char[]>(block_size));
      held += block_size;
      block_used = 0;
    }
    char* bytes = blocks.back().get() + block_used;
    block_used += size;
    return bytes;
  }
  // The length of the list of entries when it is full.
  size_t grown() const { return std::max<size_t>(entries.size() + entries.size() / 2, 64); }
  void sort() {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
    if (!tally) return;
    for (size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
      const int64_t major = entries[begin].key.major;
      while (end < entries.size() && entries[end].key.major == major) ++end;
      tally(major, static_cast<int64_t>(end - begin));
    }
  }
  std::string new_run() {
    std::filesystem::create_directories(directory);
    runs.push_back(str(directory, "/", name, "-", runs_made++));
    return runs.back();
  }
  void forget() {
    std::vector<Entry>().swap(entries);
    blocks.clear();
    block_used = block_size = held = 0;
  }
};

ExternalSorter::ExternalSorter(std::string directory, std::string name, Tally tally)
    : impl_(std::make_unique<Impl>()) {
  impl_->directory = std::move(directory);
  impl_->name = std::move(name);
  impl_->tally = std::move(tally);
}
ExternalSorter::~ExternalSorter() {
  if (!impl_) return;
  for (const auto& run : impl_->runs) std::remove(run.c_str());
}
ExternalSorter::ExternalSorter(ExternalSorter&&) noexcept = default;

void ExternalSorter::add(const SortKey& key, std::string_view record) {
  char* bytes = impl_->take(record.size());
  if (!record.empty()) std::memcpy(bytes, record.data(), record.size());
  if (impl_->entries.size() == impl_->entries.capacity()) impl_->entries.reserve(impl_->grown());
  impl_->entries.push_back({key, bytes, record.size()});
}

int64_t ExternalSorter::buffered_bytes() const {
  const auto& entries = impl_->entries;
  const size_t copy = entries.size() == entries.capacity() ? impl_->grown() : 0;
  return static_cast<int64_t>(impl_->held + (entries.capacity() + copy) * sizeof(Impl::Entry));
}

void ExternalSorter::spill() {
  auto& s = *impl_;
  if (s.entries.empty()) return;
  s.sort();
  RunFile run(s.new_run(), "wb", write_bytes);
  for (const auto& entry : s.entries) run.write(entry.key, {entry.bytes, entry.size});
  run.close();
  s.forget();
}

void ExternalSorter::seal(int64_t memory_bytes) {
  auto& s = *impl_;
  if (s.runs.empty()) return s.sort();
  spill();
  const auto memory = static_cast<size_t>(std::max<int64_t>(memory_bytes, 0));
  while (s.runs.size() > max_fan_in) {  // oldest first, into one longer run
    const std::vector<std::string> group(s.runs.begin(), s.runs.begin() + max_fan_in);
    Merge part(group, std::clamp(memory / (max_fan_in + 1), size_t{4096}, write_bytes));
    RunFile run(s.new_run(), "wb", write_bytes);
    while (part.next()) run.write(part.current().key, part.current().record);
    run.close();
    s.runs.erase(s.runs.begin(), s.runs.begin() + max_fan_in);
  }
  s.merge =
      std::make_unique<Merge>(s.runs, std::clamp(memory / s.runs.size(), size_t{4096}, size_t{1} << 20));
}

bool ExternalSorter::next() {
  if (impl_->merge) return impl_->merge->next();
  if (impl_->at >= impl_->entries.size()) {
    impl_->forget();
    impl_->at = 0;
    return false;
  }
  return ++impl_->at, true;
}

const SortKey& ExternalSorter::key() const {
  return impl_->merge ? impl_->merge->current().key : impl_->entries[impl_->at - 1].key;
}

std::string_view ExternalSorter::record() const {
  if (impl_->merge) return impl_->merge->current().record;
  const auto& entry = impl_->entries[impl_->at - 1];
  return {entry.bytes, entry.size};
}

}  // namespace lime
