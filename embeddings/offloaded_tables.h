// Tables in host memory for a dense network on a CUDA device: for tables that the devices have no room for. Internal to
// embeddings/; built where there is CUDA.
//
// The sparse side is that of host_tables.h: the same rows, state and sums, bit for bit, from the same gradients. The rows
// that a micro-batch looks up are copied to the device, f32, through page-locked memory of twice the largest feature's
// rows, and its gradients back; the host waits for the gradients, and once a step for their scale.
#pragma once

#include <memory>

#include "embeddings/tables.h"

namespace lime {

std::unique_ptr<Tables> make_offloaded_tables(const TablesOptions&);

}  // namespace lime
