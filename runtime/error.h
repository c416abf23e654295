// Errors: two kinds, told apart by who must act.
//
// UserError      bad config, data, checkpoint or option: one line that names the file, key or column, what was found
//                and what was expected. The program prints it once (not once a rank) and exits with code 2.
// Error          anything else: a library that failed, a broken invariant. Exits with code 1 and names the rank.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lime {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class UserError : public Error {
 public:
  using Error::Error;
};

// Concatenates its arguments as a stream would print them.
template <typename... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  out.precision(9);
  static_cast<void>((out << ... << args));
  return out.str();
}

[[noreturn]] void throw_check_failure(const char* file, int line, const char* condition, const std::string& message);

}  // namespace lime

// Checks an invariant of this program (never user input): LIME_CHECK(a == b, "a is ", a);
#define LIME_CHECK(condition, ...)                                                             \
  do {                                                                                         \
    if (!(condition)) [[unlikely]]                                                             \
      ::lime::throw_check_failure(__FILE__, __LINE__, #condition, ::lime::str(__VA_ARGS__)); \
  } while (false)
