// What is known of the tables' sizes before a run begins, and after it.
#pragma once

#include <optional>
#include <string>

#include "embeddings/embedding_collection.h"
#include "io/dataset.h"
#include "model/config.h"
#include "parallel/communicator.h"

namespace lime {

// "tables: at most 3.1 GB for item (about 3,000,000 rows), user (2,527,337 rows), age (32 rows); 552 bytes
// for each id that is met: author, tags": the largest few of each kind. Of all ranks together; rows with
// optimizer's state and their place in the table of ids; "author (in 3 steps; 32 until then)" where ids get a
// row only then (embeddings.admit_after). From dataset.yaml alone: users are counted there,
// items if they have features, and embeddings.capacity is a limit.
std::string table_sizes(const Config&, const Dataset&, const EmbeddingCollection&);

// Collective. Where ids wait for rows: "tables: 4,711 rows, 815 ids wait for one", of all ranks together;
// nothing where none do.
std::optional<std::string> who_waits(Communicator&, const EmbeddingCollection&);

}  // namespace lime
