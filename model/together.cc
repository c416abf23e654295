#include "model/together.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace lime {

void together(Communicator& comm, const std::function<void()>& body) {
  enum Outcome : int64_t { fine, user_error, other_error };
  int64_t mine = fine;
  std::string message;
  try {
    body();
  } catch (const UserError& error) {
    mine = user_error;
    message = error.what();
  } catch (const std::filesystem::filesystem_error& error) {
    mine = user_error;
    message = str(error.path1().string(), ": ", error.code().message());
  } catch (const std::exception& error) {
    mine = other_error;
    message = str("on rank ", comm.rank(), ": ", error.what());
  }
  const std::vector<int64_t> outcomes = all_gather_values(comm, std::span<const int64_t>(&mine, 1));
  const auto failed =
      std::find_if(outcomes.begin(), outcomes.end(), [](int64_t outcome) { return outcome != fine; });
  if (failed == outcomes.end()) return;

  std::vector<char> bytes(message.begin(), message.end());
  broadcast_bytes(comm, bytes, static_cast<int>(failed - outcomes.begin()));
  message.assign(bytes.begin(), bytes.end());
  if (*failed == user_error) throw UserError(message);
  throw Error(message);
}

}  // namespace lime
