// Broken datasets: every file cut, changed, removed or of another kind is one UserError that names it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "io/hdf5_file.h"
#include "io/inspect.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Corruption : public testing::Test {
 protected:
  Corruption()
      : log_(make_random_log(21, {30, 1200, 300, 2})),
        dataset_(write_log(log_, temp_.file("data"), small_writer(2))) {
    for (const auto& entry : fs::recursive_directory_iterator(dataset_.directory()))
      if (entry.path().extension() == ".h5") files_.push_back(entry.path().string());
    std::sort(files_.begin(), files_.end());
  }

  void read_everything() {
    const auto dataset = Dataset::open(dataset_.directory());
    BatchReader reader(dataset, reader_options(dataset, 2));
    read_all(reader);
  }

  // Replaces a file and what dataset.yaml says of its size.
  void replace(const std::string& path, const std::string& replacement) {
    std::string yaml = read_file(yaml_path());
    const auto old_size = std::to_string(fs::file_size(path)),
               new_size = std::to_string(fs::file_size(replacement));
    const auto at = yaml.find(old_size);
    ASSERT_NE(at, std::string::npos);
    write_file(yaml_path(), yaml.replace(at, old_size.size(), new_size));
    fs::rename(replacement, path);
  }

  // Copies an HDF5 file with other values in one column of integers, or without the column.
  static void copy_with(const std::string& from, const std::string& to, const std::string& changed,
                        const std::optional<std::vector<int64_t>>& values) {
    const Hdf5File source(from, Hdf5File::Mode::read);
    Hdf5File target(to, Hdf5File::Mode::create);
    for (const char* name : {"format", "kind"}) target.set_attribute("/", name, source.attribute("/", name));
    target.set_attribute("/", "version", source.integer_attribute("/", "version"));
    for (const auto& group : source.list("/"))
      for (const auto& name : source.list("/" + group)) {
        const std::string object = "/" + group + "/" + name;
        const bool lists = is_list(name);
        for (const auto& column :
             lists ? std::vector{object + "/offsets", object + "/values"} : std::vector{object}) {
          if (column == changed) continue;
          if (source.type(column) == H5Type::f32)
            target.write<float>(column, source.read<float>(column));
          else
            target.write<int64_t>(column, source.read<int64_t>(column));
        }
      }
    if (values) target.write<int64_t>(changed, *values);
    target.close();
  }
  static bool is_list(const std::string& name) {
    return name == "interests" || name == "tags" || name == "ctx" || name == "shown" || name == "topics";
  }
  std::string yaml_path() const { return dataset_.directory() + "/dataset.yaml"; }
  std::string edited_yaml(const std::string& from, const std::string& to) {
    std::string yaml = read_file(yaml_path());
    const auto at = yaml.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    write_file(yaml_path(), std::string(yaml).replace(at, from.size(), to));
    const auto message = user_error([&] { Dataset::open(dataset_.directory()); });
    write_file(yaml_path(), yaml);
    return message;
  }

  TempDirectory temp_;
  RandomLog log_;
  Dataset dataset_;
  std::vector<std::string> files_;
};

TEST_F(Corruption, TruncatedAndMissingFilesAreNamedAtOpening) {
  ASSERT_EQ(files_.size(), 8u);  // 2 of events, 2 days of 2, items, index
  for (const auto& file : files_) {
    if (file == dataset_.index_path()) continue;  // for imports to come, which replace it: readers do without
    const auto whole = read_file(file);
    write_file(file, whole.substr(0, whole.size() / 2));
    EXPECT_THAT(user_error([&] { Dataset::open(dataset_.directory()); }),
                AllOf(HasSubstr(file), HasSubstr("truncated")));
    fs::remove(file);
    EXPECT_THAT(user_error([&] { Dataset::open(dataset_.directory()); }),
                AllOf(HasSubstr(file), HasSubstr("No such file")));
    write_file(file, whole);
  }
  read_everything();
}

TEST_F(Corruption, CutShortAfterOpeningIsNamedByTheReader) {
  const auto dataset = Dataset::open(dataset_.directory());
  const auto file = dataset.day_path(dataset.days()[1].day, 1);
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_THAT(user_error([&] {
                BatchReader reader(dataset, reader_options(dataset, 2));
                read_all(reader);
              }),
              AllOf(HasSubstr(file), HasSubstr("truncated")));
}

TEST_F(Corruption, FlippedBytesAreFoundOrHarmless) {
  const auto whole_text = inspect(dataset_, true);
  int found = 0, tried = 0;
  for (const auto& file : files_) {
    const auto whole = read_file(file);
    for (size_t at = 7; at < whole.size(); at += whole.size() / 25) {
      auto broken = whole;
      broken[at] = static_cast<char>(broken[at] ^ 0x20);
      write_file(file, broken);
      ++tried;
      try {
        EXPECT_EQ(inspect(dataset_, true), whole_text) << file << " byte " << at;  // a gap in the file
      } catch (const UserError& error) {
        EXPECT_THAT(error.what(), HasSubstr(file)) << "byte " << at;
        ++found;
      }
    }
    write_file(file, whole);
  }
  EXPECT_GT(found, tried / 2) << "of " << tried;
}

TEST_F(Corruption, AFlippedByteOfAColumnIsThrownByNext) {
  const auto file = dataset_.events_path(1);
  const auto bytes = read_file(file);
  int caught = 0;
  for (size_t at = bytes.size() / 3; at < bytes.size() / 3 + 2000; at += 400) {
    auto broken = bytes;
    broken[at] = static_cast<char>(broken[at] ^ 1);
    write_file(file, broken);
    try {
      read_everything();
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(file), HasSubstr("checksum")));
      ++caught;
    }
  }
  EXPECT_GT(caught, 0);
}

TEST_F(Corruption, MissingColumnsAreNamed) {
  const auto day = dataset_.day_path(dataset_.days()[0].day, 0);
  for (const auto& [file, column] :
       std::vector<std::pair<std::string, std::string>>{{dataset_.events_path(0), "/event/tags/values"},
                                                        {dataset_.events_path(0), "/history/offsets"},
                                                        {day, "/label/click"},
                                                        {day, "/weight/watch"},
                                                        {day, "/request/history_end"},
                                                        {dataset_.items_path(), "/item/author"}}) {
    const auto whole = read_file(file), yaml = read_file(yaml_path());
    copy_with(file, temp_.file("without.h5"), column, std::nullopt);
    replace(file, temp_.file("without.h5"));
    EXPECT_THAT(user_error([&] { read_everything(); }), HasSubstr(str(file, ": ", column, ": missing")));
    EXPECT_THAT(user_error([&] { inspect(Dataset::open(dataset_.directory()), true); }), HasSubstr(column));
    write_file(file, whole);
    write_file(yaml_path(), yaml);
  }
}

TEST_F(Corruption, FilesInTheWrongPlaceAreRefused) {
  const auto day = dataset_.day_path(dataset_.days()[0].day, 0);
  fs::copy_file(dataset_.events_path(0), temp_.file("other.h5"));
  replace(day, temp_.file("other.h5"));
  EXPECT_THAT(user_error([&] { read_everything(); }),
              AllOf(HasSubstr(day), HasSubstr("found 'events', expected 'day'")));
}

TEST_F(Corruption, ValuesThatPointNowhereAreRefused) {
  const auto file = dataset_.day_path(dataset_.days()[0].day, 0);
  for (const std::string column : {"/request/user", "/request/history_end", "/candidate/offsets"}) {
    const auto whole = read_file(file), yaml = read_file(yaml_path());
    auto values = Hdf5File(file, Hdf5File::Mode::read).read<int64_t>(column);
    values.at(1) = 1'000'000;
    copy_with(file, temp_.file("again.h5"), column, values);
    replace(file, temp_.file("again.h5"));
    EXPECT_THAT(user_error([&] { read_everything(); }), HasSubstr(str(file, ": ", column, ":")));
    write_file(file, whole);
    write_file(yaml_path(), yaml);
  }
}

// A file with a column of 8-byte integers, none of which is written.
void write_empty_column(const std::string& path, const std::string& name, hsize_t rows) {
  const hsize_t chunk = 1024;
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
              space = H5Screate_simple(1, &rows, nullptr), layout = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(layout, 1, &chunk);
  H5Dclose(H5Dcreate2(file, name.c_str(), H5T_STD_I64LE, space, H5P_DEFAULT, layout, H5P_DEFAULT));
  H5Pclose(layout), H5Sclose(space), H5Fclose(file);
}

TEST(Hdf5Size, AColumnThatTheFileHasNoRoomForIsRefused) {
  const TempDirectory temp;
  const std::string path = temp.file("x.h5");
  for (const hsize_t rows :
       {hsize_t{1} << 20, hsize_t{1} << 61, (hsize_t{1} << 61) + 1}) {  // bytes of 2^64: 0
    write_empty_column(path, "column", rows);
    EXPECT_EQ(user_error([&] { Hdf5File(path, Hdf5File::Mode::read).read<int64_t>("/column", 0, 1); }),
              str(path, ": /column: says that it has ", rows, " rows, found 0 bytes of them in the file"));
  }
  // What deflate makes a thousandth of has room.
  const std::vector<int64_t> zeros(4 << 20);
  Hdf5File file(path, Hdf5File::Mode::create);
  file.write<int64_t>("/column", zeros, 0, {.compression = 9});
  file.close();
  EXPECT_LT(fs::file_size(path), zeros.size() * sizeof(int64_t) / 300);
  EXPECT_EQ(Hdf5File(path, Hdf5File::Mode::read).read<int64_t>("/column"), zeros);
}

TEST_F(Corruption, BrokenDescriptionsNameTheKey) {
  const auto path = yaml_path();
  EXPECT_THAT(edited_yaml("format: lime-dataset", "format: parquet"),
              AllOf(HasSubstr(path), HasSubstr("'parquet'")));
  EXPECT_THAT(edited_yaml("version: 2", "version: 1"),
              AllOf(HasSubstr(path),
                    HasSubstr("version: found 1, this program reads version 2; import the log again")));
  EXPECT_THAT(edited_yaml("users:", "people:"), HasSubstr("key 'users' is missing"));
  EXPECT_THAT(edited_yaml("version: 2", "version: one"), HasSubstr("found 'one', expected an integer"));
  EXPECT_THAT(edited_yaml("kind: real", "kind: imaginary"),
              HasSubstr("found 'imaginary', expected one of id, ids, real"));
  EXPECT_THAT(edited_yaml("+08:00", "CET"), AllOf(HasSubstr(path), HasSubstr("'CET'")));
  EXPECT_THAT(edited_yaml("requests: [", "requests: [1, "), HasSubstr("expected 2"));
  EXPECT_THAT(edited_yaml("2022-04-27", "2022-13-27"), HasSubstr("'2022-13-27'"));
  EXPECT_THAT(edited_yaml("columns:", "columns: ]["), AllOf(HasSubstr(path), HasSubstr("not valid YAML")));
  const auto whole = read_file(path);
  for (const std::string& garbage : {std::string(), std::string("\x00\xff\x13garbage", 10),
                                     std::string("- a\n- list\n"), whole.substr(0, whole.size() / 2)}) {
    write_file(path, garbage);
    EXPECT_THAT(user_error([&] { Dataset::open(dataset_.directory()); }), HasSubstr(path));
  }
  fs::remove(path);
  EXPECT_EQ(user_error([&] { Dataset::open(dataset_.directory()); }),
            dataset_.directory() + ": is not a dataset (it has no dataset.yaml)");
  EXPECT_THAT(user_error([&] { Dataset::open(temp_.file("nowhere")); }),
              HasSubstr("no such directory, expected a dataset"));
  // A relative name means something only together with where the program was started.
  EXPECT_THAT(user_error([&] { Dataset::open("nowhere"); }),
              HasSubstr("nowhere: no such directory in " + std::filesystem::current_path().string() + ","));
}

TEST_F(Corruption, InspectTellsWhatIsThere) {
  const auto text = inspect(dataset_, true);
  for (const char* part : {"random", "P50", "author (id)", "topics (ids)", "bayes_auc = 0.8125", "2022-04-27",
                           "click", "verified"})
    EXPECT_THAT(text, HasSubstr(part));
}

}  // namespace
}  // namespace lime
