// The directory that a process keeps its state in: one process at a time, and the instance's name.
#pragma once

#include <string>

#include "base/error.h"

namespace heartbeatd {

// Holds the lock until destroyed. Move-only.
class StateDirectory {
 public:
  // Creates the directory if need be and locks it. Error: no rights, or another process has it
  // (kTemporary), at once.
  static Result<StateDirectory> Lock(const std::string& path);
  StateDirectory(StateDirectory&& other) noexcept;
  StateDirectory& operator=(StateDirectory&&) = delete;
  ~StateDirectory();

  // The name kept in the directory; made up the first time.
  Result<std::string> InstanceName();
  [[nodiscard]] std::string DatabasePath() const { return path_ + "/rocksdb"; }

 private:
  StateDirectory(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}

  std::string path_;
  int lock_fd_;
};

}  // namespace heartbeatd
