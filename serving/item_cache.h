// ItemCache: the item rows (layers/item_rows.h) of one checkpoint in a file that processes map:
// docs/scoring.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/hdf5_draft.h"
#include "io/row_index.h"
#include "layers/item_rows.h"
#include "model/file_checksum.h"
#include "runtime/mapped_file.h"

namespace lime {

const char* to_string(RowType);  // "f32", "f16", "int8"
RowType parse_row_type(const std::string&);

// What a cache was made from, and what its rows look like.
struct CacheInfo {
  std::string checkpoint;  // its name: "step-000000335"
  std::string xxh3;        // checksum of its manifest, which holds those of its files
  std::string model;       // "lime_xor"
  RowType type = RowType::f32;
  int64_t weights = 0, hidden = 0;  // columns of a row: attention weights, share of the head's hidden layer
  // Digest of the features that rows were computed from (build_item_cache.h), where these were the dataset's;
  // "": nothing is known of them.
  std::string features_xxh3 = {};
};

// Nothing is left of a writer that does not finish().
class ItemCacheWriter {
 public:
  // ids: ascending. Throws UserError where the file cannot be written.
  ItemCacheWriter(const std::string& path, const CacheInfo&, std::span<const int64_t> ids);

  // Rows [first, first + rows.rows()), f32, which follow those written before. Throws UserError naming the
  // item where a value is not finite or does not fit the type.
  void write(int64_t first, const ConstView& rows);
  void finish();

 private:
  void check(int64_t first, const ConstView& rows) const;

  CacheInfo info_;
  std::vector<int64_t> ids_;
  Hdf5Draft draft_;
  std::vector<char> encoded_;
  std::vector<float> scales_;
  int64_t written_ = 0;  // rows
  Digest of_rows_, of_scales_;
};

// A cache to read; any number of threads may.
class ItemCache {
 public:
  // Reads the file from end to end. Throws UserError where it is no item cache, of another version, or does
  // not have the checksum that it was written with.
  explicit ItemCache(const std::string& path);
  ItemCache(const ItemCache&) = delete;
  ItemCache& operator=(const ItemCache&) = delete;

  const std::string& path() const { return path_; }
  const CacheInfo& info() const { return info_; }
  std::span<const int64_t> ids() const { return ids_; }
  const ItemRows& rows() const { return rows_; }
  const RowIndex& index() const { return index_; }

 private:
  std::string path_;
  CacheInfo info_;
  MappedFile file_;
  std::span<const int64_t> ids_;
  ItemRows rows_;
  RowIndex index_;
};

}  // namespace lime
