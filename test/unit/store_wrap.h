// Stores that pass on to another one, and do a little more than that.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"

namespace heartbeatd {

// Passes everything on to `inner`, which several may share.
class StoreWrap : public Store {
 public:
  explicit StoreWrap(std::shared_ptr<Store> inner) : inner_(std::move(inner)) {}

  Result<std::optional<std::string>> Get(std::string_view customer) override {
    return inner_->Get(customer);
  }
  Result<std::optional<std::string>> LocalMeta() override { return inner_->LocalMeta(); }
  Result<std::vector<Timer>> Timers(const Timer& after, size_t limit) override {
    return inner_->Timers(after, limit);
  }
  Result<std::vector<std::pair<std::string, std::string>>> Customers(std::string_view after,
                                                                     size_t limit) override {
    return inner_->Customers(after, limit);
  }
  Status Write(const StoreBatch& batch) override { return inner_->Write(batch); }
  Status Flush() override { return inner_->Flush(); }
  Status Wipe() override { return inner_->Wipe(); }

 private:
  std::shared_ptr<Store> inner_;
};

// The next fail_reads reads and fail_writes writes fail without doing anything.
class FlakyStore final : public StoreWrap {
 public:
  using StoreWrap::StoreWrap;

  int fail_reads = 0;
  int fail_writes = 0;

  Result<std::optional<std::string>> Get(std::string_view customer) override {
    if (Fails(&fail_reads)) return Broken();
    return StoreWrap::Get(customer);
  }
  Result<std::optional<std::string>> LocalMeta() override {
    if (Fails(&fail_reads)) return Broken();
    return StoreWrap::LocalMeta();
  }
  Result<std::vector<Timer>> Timers(const Timer& after, size_t limit) override {
    if (Fails(&fail_reads)) return Broken();
    return StoreWrap::Timers(after, limit);
  }
  Result<std::vector<std::pair<std::string, std::string>>> Customers(std::string_view after,
                                                                     size_t limit) override {
    if (Fails(&fail_reads)) return Broken();
    return StoreWrap::Customers(after, limit);
  }
  Status Write(const StoreBatch& batch) override {
    if (Fails(&fail_writes)) return Broken();
    return StoreWrap::Write(batch);
  }

 private:
  static bool Fails(int* left) {
    if (*left == 0) return false;
    --*left;
    return true;
  }
  static std::unexpected<Error> Broken() {
    return Fail("the test's disk is broken", ExitCode::kTemporary);
  }
};

}  // namespace heartbeatd
