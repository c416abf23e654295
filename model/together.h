// A step that every rank does and that may fail on some of them: afterwards all ranks go on, or all throw the
// same error.
#pragma once

#include <functional>

#include "parallel/communicator.h"

namespace lime {

// Collective. Runs `body` (which must not itself leave a collective half done), then asks all ranks. If it
// threw anywhere, every rank throws what the lowest failing rank threw: a UserError stays one, so does what
// the file system refused; anything else becomes an Error that names the rank. So nobody waits at a
// collective for a rank that gave up.
void together(Communicator&, const std::function<void()>& body);

}  // namespace lime
