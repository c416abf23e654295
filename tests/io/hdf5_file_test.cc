#include "io/hdf5_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "io/hdf5_draft.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Mode = Hdf5File::Mode;

template <typename T>
std::vector<T> ramp(size_t size) {
  std::vector<T> values(size);
  std::iota(values.begin(), values.end(), T{1});
  return values;
}

template <typename T>
class Hdf5Types : public testing::Test {};
using AllTypes = testing::Types<int8_t, uint8_t, int32_t, int64_t, float, double>;
TYPED_TEST_SUITE(Hdf5Types, AllTypes);

TYPED_TEST(Hdf5Types, WholeDatasetsLieWhereTheySay) {
  TempDirectory temp;
  const auto values = ramp<TypeParam>(42);
  {
    Hdf5File file(temp.file("x.h5"), Mode::create, 64);
    file.write<TypeParam>("/before", ramp<TypeParam>(3));
    file.reserve<TypeParam>("/rows", 6, 7);
    file.reserve<TypeParam>("/column", 5);
    file.reserve<TypeParam>("/none", 0);
    file.write_rows<TypeParam>("/rows", 4, std::span(values).subspan(28));  // in any order
    file.write_rows<TypeParam>("/rows", 0, std::span(values).first(28));
    file.write_rows<TypeParam>("/column", 0, std::span(values).first(5));
    EXPECT_THROW(file.write_rows<TypeParam>("/column", 1, std::span(values).first(5)), Error);
    file.close();
  }
  const Hdf5File read(temp.file("x.h5"), Mode::read);
  EXPECT_EQ(read.read<TypeParam>("/rows"), values);
  EXPECT_EQ(read.shape("/none"), std::vector<int64_t>{0});
  EXPECT_EQ(read.offset("/none"), 0);
  const std::string bytes = read_file(temp.file("x.h5"));
  for (const auto& [name, count] : {std::pair<const char*, size_t>{"/rows", 42}, {"/column", 5}}) {
    const auto at = static_cast<size_t>(read.offset(name));
    EXPECT_EQ(at % 64, 0u) << name;
    ASSERT_LE(at + count * sizeof(TypeParam), bytes.size());
    EXPECT_EQ(0, std::memcmp(bytes.data() + at, values.data(), count * sizeof(TypeParam))) << name;
  }
  EXPECT_THROW(read.offset("/before"), UserError);
}

// Halves are bits here, and numbers to other readers.
TEST(Hdf5File, HoldsHalves) {
  TempDirectory temp;
  const std::vector<f16> values = {{0x3c00}, {0xc000}, {0x3555}, {0x0001}};  // 1, -2, about 1/3, 2^-24
  {
    Hdf5File file(temp.file("x.h5"), Mode::create);
    file.reserve<f16>("/half", 4);
    file.write_rows<f16>("/half", 0, values);
    file.close();
  }
  const Hdf5File read(temp.file("x.h5"), Mode::read);
  EXPECT_EQ(read.type("/half"), H5Type::f16);
  EXPECT_EQ(read.read<f16>("/half"), values);
  EXPECT_EQ(read.read<double>("/half"), (std::vector<double>{1, -2, 1365 / 4096.0, 0x1p-24}));
}

// bf16, too, is what an HDF5 float type describes: other readers need know nothing of it.
TEST(Hdf5File, HoldsBf16) {
  TempDirectory temp;
  // 1, -2, about 1/3, the largest, the smallest normal and subnormal, infinity
  const std::vector<bf16> values = {{0x3f80}, {0xc000}, {0x3eab}, {0x7f7f}, {0x0080}, {0x8001}, {0x7f80}};
  {
    Hdf5File file(temp.file("x.h5"), Mode::create);
    file.append<bf16>("/rows", values, 7);
    file.append<bf16>("/rows", values, 7);
    file.close();
  }
  const Hdf5File read(temp.file("x.h5"), Mode::read);
  EXPECT_EQ(read.type("/rows"), H5Type::bf16);
  EXPECT_EQ(read.shape("/rows"), (std::vector<int64_t>{2, 7}));
  EXPECT_EQ(read.read<bf16>("/rows", 1, 2), values);
  std::vector<float> numbers;
  for (const bf16 x : values) numbers.push_back(to_float(x));
  EXPECT_EQ(read.read<float>("/rows", 0, 1), numbers);
  EXPECT_EQ(numbers[2], 0x1.56p-2f);
}

TYPED_TEST(Hdf5Types, ColumnsAndMatricesComeBack) {
  TempDirectory temp;
  H5Options options;
  options.chunk_bytes = 64;
  const auto values = ramp<TypeParam>(96);
  for (const int compression : {0, 4}) {
    options.compression = compression;
    Hdf5File file(temp.file("x.h5"), Mode::create);
    file.write<TypeParam>("/a/b/column", values, 0, options);
    file.write<TypeParam>("/a/matrix", values, 8, options);
    file.write<TypeParam>("/a/empty", {}, 0, options);
    for (size_t i = 0; i < 96; i += 24)  // whole and broken chunks
      file.append<TypeParam>("/grown", std::span(values).subspan(i, 24), 4, options);
    file.append<TypeParam>("/nothing", {}, 0, options);
    file.close();
    const Hdf5File read(temp.file("x.h5"), Mode::read);
    EXPECT_EQ(read.read<TypeParam>("/a/b/column"), values);
    EXPECT_EQ(read.read<TypeParam>("a/b/column", 90, 96),
              std::vector<TypeParam>(values.begin() + 90, values.end()));
    EXPECT_EQ(read.shape("/a/matrix"), (std::vector<int64_t>{12, 8}));
    EXPECT_EQ(read.read<TypeParam>("/a/matrix", 1, 2),
              std::vector<TypeParam>(values.begin() + 8, values.begin() + 16));
    EXPECT_EQ(read.shape("/grown"), (std::vector<int64_t>{24, 4}));
    EXPECT_EQ(read.read<TypeParam>("/grown"), values);
    EXPECT_EQ(read.shape("/a/empty"), std::vector<int64_t>{0});
    EXPECT_EQ(read.shape("/nothing"), std::vector<int64_t>{0});
    EXPECT_TRUE(read.read<TypeParam>("/nothing").empty());
    EXPECT_EQ(read.read<double>("/a/b/column"), std::vector<double>(values.begin(), values.end()));
    EXPECT_EQ(read.list("/"), (std::vector<std::string>{"a", "grown", "nothing"}));
    EXPECT_EQ(read.list("/a"), (std::vector<std::string>{"b", "empty", "matrix"}));
    EXPECT_TRUE(read.exists("/a/b"));
    EXPECT_FALSE(read.exists("/a/c/column"));
  }
}

TEST(Hdf5File, AttributesComeBack) {
  TempDirectory temp;
  Hdf5File file(temp.file("x.h5"), Mode::create);
  file.set_attribute("/", "text", "first");
  file.set_attribute("/", "text", "second, längер");
  file.set_attribute("/group", "empty", "");
  file.set_attribute("/group", "count", int64_t{-7'000'000'000});
  file.close();
  const Hdf5File read(temp.file("x.h5"), Mode::read);
  EXPECT_EQ(read.attribute("/", "text"), "second, längер");
  EXPECT_EQ(read.attribute("/group", "empty"), "");
  EXPECT_EQ(read.integer_attribute("/group", "count"), -7'000'000'000);
  EXPECT_TRUE(read.has_attribute("/group", "count"));
  EXPECT_FALSE(read.has_attribute("/group", "text"));
  EXPECT_THAT(user_error([&] { read.attribute("/", "missing"); }), HasSubstr("/@missing: missing"));
  EXPECT_THAT(user_error([&] { read.attribute("/group", "count"); }), HasSubstr("not a string"));
  EXPECT_THAT(user_error([&] { read.integer_attribute("/", "text"); }), HasSubstr("not an integer"));
}

TEST(Hdf5File, MistakesNameFileAndObject) {
  TempDirectory temp;
  const std::string path = temp.file("x.h5");
  Hdf5File file(path, Mode::create);
  file.write<float>("/g/reals", ramp<float>(10));
  EXPECT_THAT(user_error([&] { file.write<float>("/g/reals", ramp<float>(10)); }),
              HasSubstr("/g/reals: is there already"));
  file.close();
  const Hdf5File read(path, Mode::read);
  const auto naming = [&](const char* object, const char* what) {
    return AllOf(HasSubstr(path), HasSubstr(object), HasSubstr(what));
  };
  EXPECT_THAT(user_error([&] { read.read<float>("/g/lost"); }), naming("/g/lost", "missing"));
  EXPECT_THAT(user_error([&] { read.read<float>("/lost/reals"); }), naming("/lost/reals", "missing"));
  EXPECT_THAT(user_error([&] { read.read<float>("/g"); }), naming("/g", "group"));
  EXPECT_THAT(user_error([&] { read.read<int64_t>("/g/reals"); }), naming("/g/reals", "expected integers"));
  EXPECT_THAT(user_error([&] { read.read<float>("/g/reals", 5, 11); }), naming("/g/reals", "has 10 rows"));
  EXPECT_THAT(user_error([&] { read.list("/lost"); }), naming("/lost", "missing"));
  EXPECT_THAT(user_error([&] { Hdf5File(temp.file("lost.h5"), Mode::read); }), HasSubstr("no such file"));
  EXPECT_THAT(user_error([&] { Hdf5File(temp.path(), Mode::read); }), HasSubstr("not a file"));
  EXPECT_THAT(user_error([&] { Hdf5File(temp.file("no/where.h5"), Mode::create); }),
              HasSubstr("no/where.h5: cannot create: unable to open file: No such file or directory"));
  write_file(temp.file("text.h5"), "not HDF5 at all");
  EXPECT_THAT(user_error([&] { Hdf5File(temp.file("text.h5"), Mode::read); }),
              HasSubstr("text.h5: cannot open as HDF5"));
  write_file(temp.file("empty.h5"), "");
  EXPECT_THAT(user_error([&] { Hdf5File(temp.file("empty.h5"), Mode::read); }), HasSubstr("is empty"));
  write_file(temp.file("busy.h5"), "somebody's");
  const int busy = open(temp.file("busy.h5").c_str(), O_RDWR);
  ASSERT_EQ(flock(busy, LOCK_EX), 0);  // as a program does that is writing it
  EXPECT_EQ(user_error([&] { Hdf5File(temp.file("busy.h5"), Mode::create); }),
            temp.file("busy.h5") + ": cannot create: another process has it open");
  EXPECT_EQ(read_file(temp.file("busy.h5")), "somebody's");
  close(busy);
  const auto whole = read_file(path);
  write_file(temp.file("cut.h5"), whole.substr(0, whole.size() - 100));
  EXPECT_THAT(user_error([&] { Hdf5File(temp.file("cut.h5"), Mode::read); }),
              AllOf(HasSubstr("cut.h5"), HasSubstr("truncated")));
}

TEST(Hdf5Draft, TheFirstWriterKeepsItsBytes) {
  TempDirectory temp;
  const std::string path = temp.file("x.h5"), partial = path + ".partial";
  Hdf5Draft first(path);
  first.file().reserve<int64_t>("/values", 3);
  first.file().write_rows<int64_t>("/values", 0, ramp<int64_t>(3));
  EXPECT_EQ(user_error([&] { Hdf5Draft{path}; }), partial + ": cannot create: another process has it open");
  first.finish();
  EXPECT_FALSE(std::filesystem::exists(partial));
  { Hdf5Draft given_up(path); }
  EXPECT_FALSE(std::filesystem::exists(partial));
  EXPECT_EQ(Hdf5File(path, Mode::read).read<int64_t>("/values"), ramp<int64_t>(3));
}

TEST(Hdf5Draft, WhatAKilledWriterLeftIsTakenOver) {
  TempDirectory temp;
  const std::string path = temp.file("x.h5"), partial = path + ".partial";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t writer = fork();
  if (writer == 0) {
    const Hdf5Draft draft(path);
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(1);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(user_error([&] { Hdf5Draft{path}; }), partial + ": cannot create: another process has it open");
  kill(writer, SIGKILL);
  waitpid(writer, nullptr, 0);
  close(ready[0]), close(ready[1]);
  ASSERT_TRUE(std::filesystem::exists(partial));
  Hdf5Draft next(path);
  next.file().write<int64_t>("/values", ramp<int64_t>(3));
  next.finish();
  EXPECT_EQ(Hdf5File(path, Mode::read).read<int64_t>("/values"), ramp<int64_t>(3));
}

TEST(Hdf5File, AFlippedBitNamesTheRowsOfItsChunk) {
  TempDirectory temp;
  const std::string path = temp.file("x.h5");
  H5Options options;
  options.chunk_bytes = 8000;
  Hdf5File file(path, Mode::create);
  file.write<int64_t>("/values", ramp<int64_t>(3000), 0, options);
  file.close();
  auto bytes = read_file(path);
  const int64_t value = 1500;  // stored as is, in the second of three chunks
  const auto at = bytes.find(std::string(reinterpret_cast<const char*>(&value), sizeof value));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 3] = static_cast<char>(bytes[at + 3] ^ 4);
  write_file(path, bytes);
  const Hdf5File read(path, Mode::read);
  EXPECT_EQ(read.read<int64_t>("/values", 0, 1000), ramp<int64_t>(1000));
  EXPECT_THAT(
      user_error([&] { read.read<int64_t>("/values", 10, 2900); }),
      AllOf(HasSubstr(path + ": /values: "), HasSubstr("rows [1000, 2000)"), HasSubstr("checksum error")));
}

// The limit on a file's size stands for the size of the disk.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_;
  void (*handler_)(int);
};

TEST(Hdf5File, AFullDiskIsAnErrorAtTheLatestAtClose) {
  TempDirectory temp;
  H5Options options;
  options.chunk_bytes = 4096;
  const auto write = [&] {
    Hdf5File file(temp.file("x.h5"), Mode::create);
    for (int i = 0; i < 4; ++i) {
      file.set_attribute("/", str("attribute-", i), "x");
      for (int c = 0; c < 3; ++c) file.append<int64_t>(str("/g/column-", c), ramp<int64_t>(3000), 0, options);
    }
    file.close();
  };
  write();
  const auto needed = std::filesystem::file_size(temp.file("x.h5"));
  for (const size_t missing : {needed, needed - 50, needed - 3000, needed - 20'000, needed / 2,
                               size_t{20'000}, size_t{2'000}, size_t{500}, size_t{1}}) {
    SmallDisk disk(needed - missing);
    EXPECT_THAT(user_error(write), AllOf(HasSubstr("x.h5: "), HasSubstr("write failed: File too large")))
        << missing;
  }
  write();  // the library still works
  EXPECT_EQ(Hdf5File(temp.file("x.h5"), Mode::read).read<int64_t>("/g/column-2", 9000, 12000),
            ramp<int64_t>(3000));
}

TEST(Hdf5FileDeathTest, AFullDiskDoesNotBreakTheExit) {
  TempDirectory temp;
  EXPECT_EXIT(
      {
        SmallDisk disk(10'000);
        const auto message = user_error([&] {
          Hdf5File file(temp.file("x.h5"), Mode::create);
          file.write<int64_t>("/values", ramp<int64_t>(3000));
          file.close();
        });
        std::fprintf(stderr, "%s\n", message.c_str());
        std::exit(7);
      },
      testing::ExitedWithCode(7), "File too large");
}

}  // namespace
}  // namespace lime
