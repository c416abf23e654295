// The HDF5 files of a dataset, and numbers of dataset.yaml. The first byte chooses one, the second whether
// dataset.yaml knows its new size; then the changes. What is read of damaged bytes is what was written, or
// nothing; of numbers that are wrong, nothing that is out of bounds.
#include <algorithm>
#include <filesystem>
#include <span>

#include "io/feature_profile.h"
#include "io/inspect.h"
#include "io/reader.h"
#include "model/file_checksum.h"
#include "tests/fuzz/hdf5_edit.h"
#include "tests/io/random_log.h"

namespace lime::fuzz {
namespace {

namespace fs = std::filesystem;

struct WholeDataset {
  std::string directory = scratch() + "/parts";
  Dataset dataset = write_log(make_random_log(21, {4, 30, 12, 2}), directory, small_writer(1));
  std::vector<std::string> files;
  std::string yaml = read_whole(directory + "/dataset.yaml");

  WholeDataset() {
    for (const auto& entry : fs::recursive_directory_iterator(directory))
      if (entry.path().extension() == ".h5") files.push_back(fs::relative(entry.path(), directory).string());
    std::sort(files.begin(), files.end());
  }
};

void add(Digest& digest, const FeatureColumns& columns) {
  for (const auto& column : columns.id_columns) {
    digest.add(std::span(column.ids));
    digest.add(std::span(column.offsets));
  }
  digest.add(std::span(columns.real));
}

// Of everything that training and verifying read.
std::string read_dataset(const std::string& directory) {
  const Dataset dataset = Dataset::open(directory);
  Digest digest;
  BatchReader reader(dataset, reader_options(dataset, 1));
  for (Batch batch = reader.next(); !batch.ended(); batch = reader.next())
    for (const MicroBatch& micro : batch.micro) {
      for (const auto* values : {&micro.history_offsets, &micro.candidate_offsets, &micro.user_id,
                                 &micro.time_ms, &micro.day, &micro.item})
        digest.add(std::span(*values));
      for (const auto* columns : {&micro.history, &micro.candidate, &micro.user}) add(digest, *columns);
      for (const auto* values : {&micro.labels, &micro.weights, &micro.metric_weight})
        digest.add(std::span(*values));
    }
  std::vector<std::string> days;
  for (const auto& day : dataset.days()) days.push_back(day.day);
  std::string features;  // numbers in buckets among them
  for (const auto& found : profile_features(dataset, days).features)
    features +=
        str(found.name, " ", found.rows, " ", found.missing, " ", found.values, " ", found.distinct, "\n");
  return inspect(dataset, true) + features + digest.hex();
}

// dataset.yaml with one of its whole numbers changed.
std::string with_number(std::string yaml, Input& input) {
  constexpr const char* digits = "0123456789";
  size_t which = input.byte(), begin = 0, end = 0;
  for (; begin != std::string::npos; begin = yaml.find_first_of(digits, end)) {
    end = std::min(yaml.find_first_not_of(digits, begin), yaml.size());
    if (end > begin && which-- == 0) return yaml.replace(begin, end - begin, std::to_string(input.number()));
  }
  return yaml;
}

void run(std::string_view bytes) {
  static const WholeDataset whole;
  static const std::string whole_content = read_dataset(whole.directory);
  Input input(bytes);
  const size_t file = input.byte() % (whole.files.size() + 1);
  if (file == whole.files.size()) {
    scratch_file("parts/dataset.yaml", with_number(whole.yaml, input));
    refusal(whole.directory, [&] { read_dataset(whole.directory); });
    scratch_file("parts/dataset.yaml", whole.yaml);
    return;
  }
  const std::string& name = whole.files[file];
  const bool size_is_known = input.byte() % 2 == 0;
  const std::string before = read_whole(whole.directory + "/" + name);
  const bool by_disk = !input.empty() && input.rest().front() % 2 == by_bytes;
  const std::string after = changed_file(before, input);
  scratch_file("parts/" + name, after);
  if (size_is_known && after.size() != before.size()) {
    std::string yaml = whole.yaml;
    if (const size_t at = yaml.find(std::to_string(before.size())); at != std::string::npos)
      yaml.replace(at, std::to_string(before.size()).size(), std::to_string(after.size()));
    scratch_file("parts/dataset.yaml", yaml);
  }
  refusal(whole.directory, [&] {
    const std::string found = read_dataset(whole.directory);
    require(!by_disk || found == whole_content, name, ": damage that is not noticed");
  });
  scratch_file("parts/" + name, before);
  scratch_file("parts/dataset.yaml", whole.yaml);
}

std::vector<std::string> seeds() {
  std::vector<std::string> inputs;
  for (char file = 0; file < 5; ++file) {
    inputs.push_back({file, 0, by_bytes});
    inputs.push_back(std::string{file, 0, by_bytes} + flip(9, 1) + flip(4096, 128));
    inputs.push_back(std::string{file, 0, by_bytes} + cut(3000));
    for (uint8_t column = 0; column < 12; column += 3) {
      inputs.push_back(std::string{file, 0, by_hdf5} + number_at(column, 1, 138));
      inputs.push_back(std::string{file, 0, by_hdf5} + reshaped(column, 0, 138, 1));
    }
  }
  for (int number = 0; number < 60; number += 2)
    inputs.push_back({5, static_cast<char>(number), static_cast<char>(134)});
  return inputs;
}

}  // namespace

const Target parts{"parts", run, seeds};

}  // namespace lime::fuzz
