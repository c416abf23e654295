// describe_checkpoint: digests of a checkpoint's content, the same for every way it was cut into files.
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "model/checkpoint.h"
#include "model/checkpoint_files.h"
#include "model/checkpoint_manifest.h"
#include "model/checkpoint_tensors.h"
#include "model/file_checksum.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr int64_t block_rows = int64_t{1} << 16;

template <typename T>
void add_rows(Digest& digest, const Hdf5File& file, const std::string& object, int64_t begin, int64_t end) {
  for (; begin < end; begin += block_rows) {
    const auto values = file.read<T>(object, begin, std::min(end, begin + block_rows));
    digest.add(std::span<const T>(values));
  }
}

void add_object(Digest& digest, const Hdf5File& file, const std::string& object) {
  const int64_t rows = file.shape(object).at(0);
  if (file.type(object) == H5Type::f64)
    add_rows<double>(digest, file, object, 0, rows);
  else
    add_rows<float>(digest, file, object, 0, rows);
}

std::vector<int64_t> matrix_shape(const Hdf5File& file, const std::string& object) {
  auto shape = file.shape(object);
  if (shape.size() != 2)
    throw UserError(str(file.path(), ": ", object, ": found one dimension, expected two"));
  return shape;
}

// One table over all of its files: rows by bucket, then id; ids that wait for a row alike.
class TableDigest {
 public:
  TableDigest(const std::vector<std::unique_ptr<Hdf5File>>& files, const std::string& table)
      : group_("/" + table) {
    for (const auto& file : files)
      parts_.push_back({file.get(), read_bucket_offsets(*file, group_ + "/bucket_offsets")});
    dim_ = width(*files.front(), "/value");
    type_ = files.front()->type(group_ + "/value");
    state_width_ = files.front()->exists(group_ + "/state") ? width(*files.front(), "/state") : 0;
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) add_bucket(bucket);
    flush();
    waits_ = files.front()->exists(group_ + waiting_offsets);
    if (!waits_) return;
    for (auto& part : parts_) part.offsets = read_bucket_offsets(*part.file, group_ + waiting_offsets);
    for (size_t bucket = 0; bucket < static_cast<size_t>(virtual_buckets); ++bucket)
      for (const auto& part : parts_)
        add_waiting(*part.file, part.offsets.at(bucket), part.offsets.at(bucket + 1));
  }

  int64_t rows() const { return rows_; }
  std::string line() const {
    return str("rows ", rows_, " dim ", dim_, type_ == H5Type::bf16 ? " bf16" : "", " state ", state_width_,
               " id ", ids_.hex(), " value ", values_.hex(), " state ", state_.hex(), " idle ", idle_.hex(),
               waits_ ? str(" waiting ", waiting_, " id ", waiting_id_.hex(), " steps ", waiting_steps_.hex(),
                            " idle ", waiting_idle_.hex())
                      : "");
  }

 private:
  struct Part {
    const Hdf5File* file;
    std::vector<int64_t> offsets;
  };

  int64_t width(const Hdf5File& file, const char* name) const { return matrix_shape(file, group_ + name)[1]; }

  // Consecutive buckets of one file are one range of rows, read together.
  void add_bucket(int64_t bucket) {
    for (const auto& part : parts_) {
      const int64_t begin = part.offsets.at(static_cast<size_t>(bucket)),
                    end = part.offsets.at(static_cast<size_t>(bucket) + 1);
      if (begin == end) continue;
      if (part.file != file_ || begin != end_) {
        flush();
        file_ = part.file;
        begin_ = begin;
      }
      end_ = end;
    }
  }
  void flush() {
    if (!file_) return;
    add_rows<int64_t>(ids_, *file_, group_ + "/id", begin_, end_);
    if (type_ == H5Type::bf16)
      add_rows<bf16>(values_, *file_, group_ + "/value", begin_, end_);
    else
      add_rows<float>(values_, *file_, group_ + "/value", begin_, end_);
    if (state_width_ > 0) add_rows<float>(state_, *file_, group_ + "/state", begin_, end_);
    if (file_->exists(group_ + "/idle")) add_rows<uint8_t>(idle_, *file_, group_ + "/idle", begin_, end_);
    rows_ += end_ - begin_;
    begin_ = end_;
  }

  void add_waiting(const Hdf5File& file, int64_t begin, int64_t end) {
    if (begin == end) return;
    add_rows<int64_t>(waiting_id_, file, group_ + waiting_ids, begin, end);
    add_rows<uint8_t>(waiting_steps_, file, group_ + waiting_steps, begin, end);
    add_rows<uint8_t>(waiting_idle_, file, group_ + waiting_idle, begin, end);
    waiting_ += end - begin;
  }

  std::string group_;
  std::vector<Part> parts_;
  int64_t dim_ = 0, state_width_ = 0, rows_ = 0;
  H5Type type_ = H5Type::f32;
  const Hdf5File* file_ = nullptr;
  int64_t begin_ = 0, end_ = 0;
  Digest ids_, values_, state_, idle_;
  bool waits_ = false;
  int64_t waiting_ = 0;
  Digest waiting_id_, waiting_steps_, waiting_idle_;
};

std::string describe_state(const CheckpointManifest& manifest) {
  const TrainState& state = manifest.state;
  std::string text =
      str("step ", state.step, " epoch ", state.epoch, " finished ", state.finished ? "yes" : "no", " seed ",
          manifest.seed, " model ", digest_of(manifest.model), "\n");
  for (const auto& p : state.positions)
    text +=
        str("position shard ", p.shard, " epoch ", p.epoch, " unit ", p.unit, " request ", p.request, "\n");
  for (const auto& [name, value] : state.extra) {
    Digest digest;
    digest.add(std::span<const double>(&value, 1));
    text += str("extra ", name, " ", value, " ", digest.hex(), "\n");
  }
  return text;
}

}  // namespace

int64_t CheckpointShapes::parameter_count() const {
  int64_t count = 0;
  for (const auto& parameter : parameters) count += parameter.rows * parameter.columns;
  return count;
}

int64_t CheckpointShapes::table_rows() const {
  int64_t rows = 0;
  for (const auto& table : tables) rows += table.rows;
  return rows;
}

int64_t CheckpointShapes::waiting_ids() const {
  int64_t ids = 0;
  for (const auto& table : tables) ids += table.waiting;
  return ids;
}

CheckpointShapes checkpoint_shapes(const std::string& directory) {
  CheckpointShapes shapes;
  const Hdf5File dense(join(directory, dense_file_name), Hdf5File::Mode::read);
  for (const auto& name : dense.list("/parameters")) {
    const auto shape = matrix_shape(dense, str("/parameters/", name));
    shapes.parameters.push_back({name, shape[0], shape[1]});
  }
  std::map<std::string, CheckpointShapes::Shape> tables;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!is_tables_file(entry.path().filename().string())) continue;
    const Hdf5File file(entry.path().string(), Hdf5File::Mode::read);
    for (const auto& name : file.list("/")) {
      const auto shape = matrix_shape(file, str("/", name, "/value"));
      auto& table = tables[name];
      const bool bf16 = file.type(str("/", name, "/value")) == H5Type::bf16;
      const std::string waiting = str("/", name, waiting_ids);
      table = {name, table.rows + shape[0], shape[1], bf16 ? DType::bf16 : DType::f32,
               table.waiting + (file.exists(waiting) ? file.shape(waiting)[0] : 0)};
    }
  }
  for (auto& [name, table] : tables) shapes.tables.push_back(std::move(table));
  return shapes;
}

std::string describe_checkpoint(const std::string& directory) {
  const auto alone = make_self_communicator();
  const VerifiedCheckpoint checkpoint(*alone, directory);
  const CheckpointManifest& manifest = checkpoint.manifest();
  std::string text = describe_state(manifest);

  const Hdf5File dense(join(directory, dense_file_name), Hdf5File::Mode::read);
  int64_t parameters = 0;
  for (const char* group : {"/parameters", "/adamw/first_moment", "/adamw/second_moment"})
    for (const auto& name : dense.list(group)) {
      const std::string object = str(group, "/", name);
      const auto shape = matrix_shape(dense, object);
      Digest digest;
      add_object(digest, dense, object);
      text += str(object, " ", shape.at(0), " x ", shape.at(1), " ", digest.hex(), "\n");
      if (group == std::string("/parameters")) parameters += shape[0] * shape[1];
    }

  std::vector<std::unique_ptr<Hdf5File>> files;
  for (const auto& file : manifest.files)
    if (is_tables_file(file.name))
      files.push_back(std::make_unique<Hdf5File>(join(directory, file.name), Hdf5File::Mode::read));
  int64_t rows = 0;
  if (!files.empty())
    for (const auto& table : files.front()->list("/")) {
      const TableDigest digest(files, table);
      text += str("/", table, " ", digest.line(), "\n");
      rows += digest.rows();
    }
  return text + str("total parameters ", parameters, " rows ", rows, " ", digest_of(text), "\n");
}

}  // namespace lime
