// The HDF5 files of a checkpoint: the dense parameters with their AdamW moments, and one file of table rows a
// rank.
#pragma once

#include <cstdint>
#include <string>

#include "embeddings/embedding_collection.h"
#include "io/hdf5_file.h"
#include "layers/adamw.h"
#include "layers/parameter.h"

namespace lime {

inline constexpr const char* dense_file_name = "dense.h5";
// In a table's group, where ids may wait for a row (TableConfig::admit_after).
inline constexpr const char *waiting_offsets = "/waiting/bucket_offsets", *waiting_ids = "/waiting/id",
                            *waiting_steps = "/waiting/steps", *waiting_idle = "/waiting/idle";
std::string tables_file_name(int rank, int ranks);  // "tables-00000-of-00002.h5"
bool is_tables_file(const std::string& name);

void write_dense(const std::string& path, Context&, const ParameterStore&, const AdamW&);
// Throws UserError naming file and object where a tensor is missing or of another shape. `optimizer` may be
// null.
void read_dense(const std::string& path, Context&, ParameterStore&, AdamW* optimizer);

// This rank's rows, bucket by bucket; buckets of other ranks are empty ranges.
void write_tables(const std::string& path, const EmbeddingCollection&);
// Where each bucket's rows begin, and the last one's end: virtual_buckets + 1 ascending numbers from 0.
// Throws UserError naming file and object where they are not.
std::vector<int64_t> read_bucket_offsets(const Hdf5File&, const std::string& object);
// What tables are read for: the run goes on; another begins with them, which leaves rows and waiting ids that
// TableConfig::keep_runs does not keep, and has updated none of the others yet; or nobody updates them, and
// waiting ids are left out.
enum class TableUse : uint8_t { go_on, begin, read };
// Adds the file's rows of those buckets that `rank` of `ranks` owns. Rows may be of another type than the
// table's: from f32 to bf16 they are rounded to nearest, from bf16 to f32 they are exact.
void read_tables(const std::string& path, EmbeddingCollection&, int rank, int ranks, TableUse);

}  // namespace lime
