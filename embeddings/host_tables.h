// Tables in host memory. Internal to embeddings/.
#pragma once

#include <memory>

#include "embeddings/tables.h"

namespace lime {

std::unique_ptr<Tables> make_host_tables(const TablesOptions&);

}  // namespace lime
