// What went wrong, for a person, and how the process should end because of it.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace heartbeatd {

// The process's exit codes (sysexits.h where it has one).
enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kBroken = 70,     // a broken invariant or lost changelog data: do not restart blindly
  kTemporary = 75,  // fenced, or the broker is gone: a restart may help
  kConfig = 78,     // the configuration is wrong
};

// An environment fault as a value. `message` is one sentence that names the place and, where there
// is one, the cure.
struct Error {
  std::string message;
  ExitCode code = ExitCode::kFailed;

  // The same error with what was being done in front: "while X: message".
  Error Context(std::string_view doing) && {
    std::string text(doing);
    text += ": ";
    text += message;
    return Error{std::move(text), code};
  }
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> Fail(std::string message, ExitCode code = ExitCode::kFailed) {
  return std::unexpected(Error{std::move(message), code});
}

}  // namespace heartbeatd
