// Stores that several owners share, and that fail when told to.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"

namespace heartbeatd {

// Passes on to `inner`; the next fail_reads reads and fail_writes writes fail without doing
// anything.
class FlakyStore final : public Store {
 public:
  explicit FlakyStore(std::shared_ptr<Store> inner) : inner_(std::move(inner)) {}

  int fail_reads = 0;
  int fail_writes = 0;

  Result<std::optional<std::string>> Get(std::string_view customer) override {
    if (Fails(&fail_reads)) return Broken();
    return inner_->Get(customer);
  }
  Result<std::optional<std::string>> LocalMeta() override {
    if (Fails(&fail_reads)) return Broken();
    return inner_->LocalMeta();
  }
  Result<std::vector<Timer>> Timers(const Timer& after, size_t limit) override {
    if (Fails(&fail_reads)) return Broken();
    return inner_->Timers(after, limit);
  }
  Result<std::vector<std::pair<std::string, std::string>>> Customers(std::string_view after,
                                                                     size_t limit) override {
    if (Fails(&fail_reads)) return Broken();
    return inner_->Customers(after, limit);
  }
  Status Write(const StoreBatch& batch) override {
    if (Fails(&fail_writes)) return Broken();
    return inner_->Write(batch);
  }
  Status Flush() override { return inner_->Flush(); }
  Status Wipe() override { return inner_->Wipe(); }

 private:
  static bool Fails(int* left) {
    if (*left == 0) return false;
    --*left;
    return true;
  }
  static std::unexpected<Error> Broken() {
    return Fail("the test's disk is broken", ExitCode::kTemporary);
  }

  std::shared_ptr<Store> inner_;
};

}  // namespace heartbeatd
