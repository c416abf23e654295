// Whether attention uses the products of warpgroups that GPUs of compute capability 9.0 have
// (runtime/cuda_kernel_wgmma.h); where not, those of warps.
#pragma once

#include "runtime/context.h"

namespace lime::cuda {

// The context's device has them, this build has code for it (sm_90a), and nobody forbids them: LIME_WGMMA=0
// in the environment does, and allow_wgmma(false), for all threads of the process.
bool wgmma_in_use(const Context&);
void allow_wgmma(bool yes);

}  // namespace lime::cuda
