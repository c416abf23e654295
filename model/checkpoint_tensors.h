// The HDF5 files of a checkpoint: the dense parameters with their AdamW moments, and one file of table rows a
// rank.
#pragma once

#include <string>

#include "embeddings/embedding_collection.h"
#include "io/hdf5_file.h"
#include "layers/adamw.h"
#include "layers/parameter.h"

namespace lime {

inline constexpr const char* dense_file_name = "dense.h5";
std::string tables_file_name(int rank, int ranks);  // "tables-00000-of-00002.h5"
bool is_tables_file(const std::string& name);

void write_dense(const std::string& path, Context&, const ParameterStore&, const AdamW&);
// Throws UserError naming file and object where a tensor is missing or of another shape. `optimizer` may be
// null.
void read_dense(const std::string& path, Context&, ParameterStore&, AdamW* optimizer);

// This rank's rows, bucket by bucket; buckets of other ranks are empty ranges.
void write_tables(const std::string& path, const EmbeddingCollection&);
// Adds the file's rows of those buckets that `rank` of `ranks` owns. `new_run`: another run begins with them;
// it leaves those that TableConfig::keep_runs does not keep, and no run has updated the others yet. Rows may
// be of another type than the table's: from f32 to bf16 they are rounded to nearest, from bf16 to f32 they
// are exact.
void read_tables(const std::string& path, EmbeddingCollection&, int rank, int ranks, bool new_run = false);

}  // namespace lime
