#include "store/memory_store.h"

#include <map>
#include <set>

namespace heartbeatd {
namespace {

class MemoryStore final : public Store {
 public:
  Result<std::optional<std::string>> Get(std::string_view customer) override {
    const auto it = states_.find(customer);
    if (it == states_.end()) return std::nullopt;
    return it->second;
  }

  Result<std::optional<std::string>> LocalMeta() override { return local_meta_; }

  Result<std::vector<Timer>> Timers(const Timer& after, size_t limit) override {
    std::vector<Timer> out;
    for (auto it = timers_.upper_bound(after); it != timers_.end() && out.size() < limit; ++it)
      out.push_back(*it);
    return out;
  }

  Result<std::vector<std::pair<std::string, std::string>>> Customers(std::string_view after,
                                                                     size_t limit) override {
    std::vector<std::pair<std::string, std::string>> out;
    for (auto it = states_.upper_bound(after); it != states_.end() && out.size() < limit; ++it)
      out.emplace_back(*it);
    return out;
  }

  Status Write(const StoreBatch& batch) override {
    for (const StoreBatch::State& state : batch.states) {
      if (state.bytes) {
        states_.insert_or_assign(std::string(state.customer), std::string(*state.bytes));
      } else if (const auto it = states_.find(state.customer); it != states_.end()) {
        states_.erase(it);
      }
    }
    for (const Timer& timer : batch.timers_removed) timers_.erase(timer);
    timers_.insert(batch.timers_added.begin(), batch.timers_added.end());
    if (!batch.local_meta.empty()) local_meta_ = std::string(batch.local_meta);
    return {};
  }

  Status Flush() override { return {}; }

  Status Wipe() override {
    states_.clear();
    timers_.clear();
    local_meta_.reset();
    return {};
  }

 private:
  std::map<std::string, std::string, std::less<>> states_;
  std::set<Timer> timers_;
  std::optional<std::string> local_meta_;
};

}  // namespace

std::unique_ptr<Store> MakeMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace heartbeatd
