// Tables in the memory of a CUDA device. Internal to embeddings/; built where there is CUDA.
#pragma once

#include <memory>

#include "embeddings/tables.h"

namespace lime {

std::unique_ptr<Tables> make_device_tables(const TablesOptions&);

}  // namespace lime
