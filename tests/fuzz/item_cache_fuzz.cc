// Item caches: a damaged or a strange file is refused by its name, or its rows can be read.
#include <array>

#include "serving/item_cache.h"
#include "tests/fuzz/hdf5_edit.h"

namespace lime::fuzz {
namespace {

constexpr int64_t items = 5, weights = 4, hidden = 3;

std::string written(RowType type) {
  const std::string path = scratch() + "/cache.h5";
  const std::array<int64_t, items> ids = {1, 5, 6, 70, 900};
  std::array<float, items*(weights + hidden)> values{};
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7) / 8;
  ItemCacheWriter writer(path, {"step-000000335", std::string(32, 'a'), "lime_xor", type, weights, hidden},
                         ids);
  writer.write(0, ConstView(values.data(), items, weights + hidden));
  writer.finish();
  return read_whole(path);
}

// All that a scorer may read.
std::string content(const ItemCache& cache) {
  std::string bytes;
  const auto add = [&](const void* data, int64_t size) {
    bytes.append(static_cast<const char*>(data), static_cast<size_t>(size));
  };
  const ItemRows& rows = cache.rows();
  const auto count = static_cast<int64_t>(cache.ids().size());
  require(rows.weights >= 0 && rows.hidden >= 0 && rows.count == count, "rows of no shape");
  const int64_t width = rows.type == RowType::f32 ? 4 : rows.type == RowType::f16 ? 2 : 1;
  add(cache.ids().data(), count * 8);
  add(rows.values, count * (rows.weights + rows.hidden) * width);
  if (rows.type == RowType::i8) add(rows.scales, count * 8);
  for (int64_t i = 0; i < count; ++i)
    require(cache.index().find(cache.ids()[static_cast<size_t>(i)]) == i, "an item is not found");
  return str(cache.info().checkpoint, cache.info().xxh3, cache.info().model, rows.weights, "x", rows.hidden,
             bytes);
}

void run(std::string_view bytes) {
  static const std::array<std::string, 3> whole = {written(RowType::f32), written(RowType::f16),
                                                   written(RowType::i8)};
  static const std::array<std::string, 3> whole_content = [] {
    std::array<std::string, 3> contents;
    for (size_t i = 0; i < 3; ++i) contents[i] = content(ItemCache(scratch_file("cache.h5", whole[i])));
    return contents;
  }();
  Input input(bytes);
  const size_t which = input.byte() % 3;
  const bool by_disk = !input.empty() && input.rest().front() % 2 == by_bytes;
  const std::string path = scratch_file("cache.h5", changed_file(whole[which], input));
  refusal(path, [&] {
    const std::string found = content(ItemCache(path));
    require(!by_disk || found == whole_content[which], "damage that is not noticed");
  });
}

std::vector<std::string> seeds() {
  std::vector<std::string> inputs;
  for (const char type : {0, 1, 2}) {
    inputs.push_back({type, by_bytes});
    inputs.push_back(std::string{type, by_bytes} + flip(512, 1) + flip(4096, 128));
    inputs.push_back(std::string{type, by_bytes} + cut(3000));
    for (const uint8_t column : {0, 1, 2}) {
      inputs.push_back(std::string{type, by_hdf5} + number_at(column, 1, 5));
      inputs.push_back(std::string{type, by_hdf5} + reshaped(column, 0, 138, 1));
    }
  }
  return inputs;
}

}  // namespace

const Target item_cache{"item_cache", run, seeds};

}  // namespace lime::fuzz
