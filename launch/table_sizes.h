// What is known of the tables' sizes before a run begins.
#pragma once

#include <string>

#include "embeddings/embedding_collection.h"
#include "io/dataset.h"
#include "model/config.h"

namespace lime {

// "tables: user at most 2,527,337 rows of 552 bytes (1.4 GB), item about 3,000,000 of 552 (1.7 GB); as many
// as ids are met: author, tags of 552". Of all ranks together; rows with optimizer's state and their place in
// the table of ids. From dataset.yaml alone: users are counted there, items if they have features, and
// embeddings.capacity is a limit.
std::string table_sizes(const Config&, const Dataset&, const EmbeddingCollection&);

}  // namespace lime
