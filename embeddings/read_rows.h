// A feature's rows straight from a shard that has all of them: for serving. Internal to embeddings/.
#pragma once

#include "embeddings/embedding_collection.h"
#include "embeddings/table_shard.h"

namespace lime {

// out[i,:] = pooled rows of the feature's row i, as gather_rows (lookup_kernels.h) sums them; an unseen id
// reads as what it would start as.
void read_rows(const TableShard&, const FeatureIds&, float* out, int64_t stride);

}  // namespace lime
