// Checks of options' values. What they refuse reads as the mistakes in a configuration do, in the words of
// any version of CLI11: "--parts: found 'x', expected an integer in 1..99999".
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace lime {

CLI::Validator integer_in(int64_t least, int64_t most);
CLI::Validator integer_from(int64_t least);
CLI::Validator positive_number();
CLI::Validator one_of(const std::vector<std::string>& words);  // help lists them: {a,b}

}  // namespace lime
