#include "io/text_file.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "columns_to_csv.h"
#include "runtime/error.h"

namespace lime {

// Reads a file from its standard input, and writes the text.
struct TextProgram {
  std::string_view begin;  // of its files
  const char* format;      // of these, for messages
  const char* name;
  std::array<const char*, 2> arguments;
  std::string_view ending;                 // of its files' names
  std::string_view before_last_byte = {};  // of its files, where their beginning may be that of a text
};

namespace {

constexpr std::array<TextProgram, 5> compressions = {{{"\x1F\x8B", "gzip", "gzip", {"-dc"}, ".gz"},
                                                      {"BZh", "bzip2", "bzip2", {"-dc"}, ".bz2"},
                                                      {"\xFD\x37zXZ", "xz", "xz", {"-dc"}, ".xz"},
                                                      {"\x28\xB5\x2F\xFD", "zstd", "zstd", {"-dc"}, ".zst"},
                                                      {"\x04\x22\x4D\x18", "lz4", "lz4", {"-dc"}, ".lz4"}}};
constexpr std::array<TextProgram, 3> columnar = {
    {{"PAR1", "Parquet", "python3", {"-c", columns_to_csv}, ""},
     {"ORC", "ORC", "python3", {"-c", columns_to_csv}, "", "ORC"},
     {"ARROW1", "Arrow", "python3", {"-c", columns_to_csv}, ""}}};

constexpr int pipe_bytes = 1 << 20;

// Whether this stands before the file's last byte.
bool ends_with(int file, std::string_view text) {
  std::array<char, 8> end{};
  struct stat about {};
  if (text.empty()) return true;
  if (fstat(file, &about) != 0) return false;
  const auto size = static_cast<off_t>(text.size());
  return pread(file, end.data(), text.size(), about.st_size - 1 - size) == static_cast<ssize_t>(size) &&
         std::string_view(end.data(), text.size()) == text;
}

// The program that reads a file; null for plain text, and for pipes, whose first bytes cannot be looked at.
const TextProgram* program_for(int file) {
  std::array<char, 8> begin{};
  const ssize_t got = pread(file, begin.data(), begin.size(), 0);
  if (got <= 0) return nullptr;
  const std::string_view found(begin.data(), static_cast<size_t>(got));
  const auto reads = [&](const TextProgram& program) {
    return found.starts_with(program.begin) && ends_with(file, program.before_last_byte);
  };
  for (const auto& program : compressions)
    if (reads(program)) return &program;
  for (const auto& program : columnar)
    if (reads(program)) return &program;
  return nullptr;
}

void close_file(int& file) {
  if (file >= 0) close(file);
  file = -1;
}

}  // namespace

TextFile::TextFile(const std::string& path, const WantedColumns& wanted)
    : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0) throw UserError(str(path_, ": cannot open: ", std::strerror(errno)));
  text_ = file_;
  program_ = program_for(file_);
  if (program_) start_program(wanted);
}

TextFile::~TextFile() {
  if (text_ != file_) close_file(text_);
  close_file(file_);
  close_file(complaints_);
  if (pid_ > 0) {  // in the middle of its work: it may be waiting for somebody to read
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

void TextFile::start_program(const WantedColumns& wanted) {
  std::vector<std::string> words = {program_->name};
  for (const char* const argument : program_->arguments)
    if (argument) words.emplace_back(argument);
  if (is_columnar()) {
    words.insert(words.end(), wanted.needed.begin(), wanted.needed.end());
    words.emplace_back();  // the end of those needed
    words.insert(words.end(), wanted.optional.begin(), wanted.optional.end());
  }
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  complaints_ = memfd_create("complaints", MFD_CLOEXEC);
  int ends[2];
  if (complaints_ < 0 || pipe2(ends, O_CLOEXEC) != 0)
    throw Error(str(path_, ": pipe: ", std::strerror(errno)));
  fcntl(ends[0], F_SETPIPE_SZ, pipe_bytes);  // fewer changes between the two; less is as good
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, file_, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, complaints_, STDERR_FILENO);
  const int failed = posix_spawnp(&pid_, program_->name, &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  text_ = ends[0];
  if (failed != 0) {
    pid_ = -1;
    throw UserError(
        str(path_, ": found ", program_->format, " data, and the program ", program_->name,
            " cannot be started: ", std::strerror(failed),
            is_columnar() ? "; install it, and pyarrow" : "; install it, or decompress the file"));
  }
}

void TextFile::end_program() {
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::array<char, 300> said{};
  const ssize_t length = pread(complaints_, said.data(), said.size(), 0);
  std::string reason(said.data(), static_cast<size_t>(std::max<ssize_t>(length, 0)));
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  reason.erase(reason.find_last_not_of(' ') + 1);
  if (WIFSIGNALED(status)) reason = str("ended by signal ", WTERMSIG(status));
  if (is_columnar())
    throw UserError(str(path_, ": found ", program_->format, ", which cannot be read: ", reason));
  throw UserError(str(path_, ": cannot be decompressed: ", program_->name, " -dc: ", reason));
}

bool TextFile::is_columnar() const {
  return program_ && std::string_view(program_->arguments[0]) == columnar[0].arguments[0];
}

size_t TextFile::read(char* to, size_t size) {
  ssize_t got;
  do {
    got = ::read(text_, to, size);
  } while (got < 0 && errno == EINTR);
  if (got < 0) throw UserError(str(path_, ": cannot read: ", std::strerror(errno)));
  if (got == 0 && pid_ > 0) end_program();
  return static_cast<size_t>(got);
}

double TextFile::fraction() const {
  struct stat about {};
  // The program reads through the same open file, so that its position is the one that is asked for here.
  const off_t at = lseek(file_, 0, SEEK_CUR);
  if (at < 0 || fstat(file_, &about) != 0 || about.st_size <= 0) return 0;
  return std::min(1.0, static_cast<double>(at) / static_cast<double>(about.st_size));
}

std::string without_compression(const std::string& path) {
  for (const auto& compression : compressions)
    if (path.ends_with(compression.ending)) return path.substr(0, path.size() - compression.ending.size());
  return path;
}

}  // namespace lime
