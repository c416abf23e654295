// Messages as they are shown.
#pragma once

#include <string>

namespace lime {

// What a message quotes of a file may hold anything: its line ends and other control characters become \n,
// \t, \x1b. Whoever shows a message to a person, or hands it on as text, takes it through here.
std::string one_line(const std::string& message);

}  // namespace lime
