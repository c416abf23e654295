#include "runtime/one_line.h"

namespace lime {

std::string one_line(const std::string& message) {
  constexpr const char* digits = "0123456789abcdef";
  std::string line;
  line.reserve(message.size());
  for (const char c : message) {
    const auto code = static_cast<unsigned char>(c);
    if (code >= ' ' && code != 0x7f)
      line += c;
    else if (c == '\n' || c == '\t' || c == '\r')
      line += c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r";
    else
      line += {'\\', 'x', digits[code / 16], digits[code % 16]};
  }
  return line;
}

}  // namespace lime
