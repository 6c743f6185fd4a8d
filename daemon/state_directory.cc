#include "daemon/state_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/id.h"

namespace heartbeatd {

Result<StateDirectory> StateDirectory::Lock(const std::string& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) {
    return Fail(
        fmt::format(
            "state.directory: cannot create {}: {}. Name a directory that this user may write to",
            path, failure.message()),
        ExitCode::kConfig);
  }
  const std::string file = path + "/lock";
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return Fail(
        fmt::format(
            "state.directory: cannot write {}: {}. Name a directory that this user may write to",
            file, std::generic_category().message(errno)),
        ExitCode::kConfig);
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return Fail(
        fmt::format(
            "state.directory: {} is in use by another heartbeatd: give each process its own", path),
        ExitCode::kTemporary);
  }
  return StateDirectory(path, fd);
}

StateDirectory::StateDirectory(StateDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_fd_(std::exchange(other.lock_fd_, -1)) {}

StateDirectory::~StateDirectory() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

Result<std::string> StateDirectory::InstanceName() {
  const std::string file = path_ + "/instance";
  std::string name;
  if (std::ifstream in(file); in && std::getline(in, name) && !name.empty()) return name;
  constexpr size_t kLength = 8;
  name = RandomUuid().substr(0, kLength);
  const std::string fresh = file + ".new";
  std::ofstream out(fresh);
  out << name << '\n';
  out.close();
  std::error_code failure;
  if (out) std::filesystem::rename(fresh, file, failure);
  if (!out || failure)
    return Fail(fmt::format("state.directory: cannot write {}", file), ExitCode::kConfig);
  return name;
}

}  // namespace heartbeatd
