#include "simulation/disk.h"

#include <utility>

namespace heartbeatd::sim {
namespace {

std::unexpected<Error> IoError() { return Fail("no space left on device", ExitCode::kTemporary); }

}  // namespace

class DiskStore final : public Store {
 public:
  DiskStore(Disk::Shard& shard, Surroundings& world)
      : shard_(shard), world_(world), owner_(++shard.owner) {}

  Result<std::optional<std::string>> Get(std::string_view customer) override {
    const auto it = shard_.now.states.find(customer);
    if (it == shard_.now.states.end()) return std::nullopt;
    return it->second;
  }
  Result<std::optional<std::string>> LocalMeta() override { return shard_.now.local_meta; }
  Result<std::vector<Timer>> Timers(const Timer& after, size_t limit) override {
    std::vector<Timer> out;
    const std::set<Timer>& timers = shard_.now.timers;
    for (auto it = timers.upper_bound(after); it != timers.end() && out.size() < limit; ++it)
      out.push_back(*it);
    return out;
  }
  Result<std::vector<std::pair<std::string, std::string>>> Customers(std::string_view after,
                                                                     size_t limit) override {
    std::vector<std::pair<std::string, std::string>> out;
    const auto& states = shard_.now.states;
    for (auto it = states.upper_bound(after); it != states.end() && out.size() < limit; ++it)
      out.emplace_back(*it);
    return out;
  }

  Status Write(const StoreBatch& batch) override {
    Disk::Change change{.timers_removed = batch.timers_removed,
                        .timers_added = batch.timers_added,
                        .local_meta = std::string(batch.local_meta)};
    for (const StoreBatch::State& state : batch.states) {
      change.states.emplace_back(
          state.customer, state.bytes ? std::optional<std::string>(*state.bytes) : std::nullopt);
    }
    return Do("store.write", std::move(change));
  }
  Status Wipe() override { return Do("store.wipe", {.wipe = true}); }
  Status Flush() override {
    world_.Pass("store.flush");
    if (world_.Dead()) return {};
    if (world_.Fails("store.flush")) return IoError();
    // Begun, not waited for: it may or may not be done before the next crash.
    if (world_.random().OneIn(2)) {
      shard_.durable = shard_.now;
      shard_.unflushed.clear();
    }
    return {};
  }

 private:
  Status Do(std::string_view place, Disk::Change change) {
    world_.Pass(place);
    if (world_.Dead()) return {};
    if (owner_ != shard_.owner) return Fail("the shard was opened again", ExitCode::kTemporary);
    if (world_.Fails(place)) return IoError();
    Disk::Apply(change, &shard_.now);
    shard_.unflushed.push_back(std::move(change));
    world_.Pass(place);
    return {};
  }

  Disk::Shard& shard_;
  Surroundings& world_;
  const int owner_;
};

std::unique_ptr<Store> Disk::Open(int32_t partition, Surroundings* world) {
  return std::make_unique<DiskStore>(shards_[partition], *world);
}

void Disk::Crash(Random* random) {
  for (auto& [partition, shard] : shards_) {
    const size_t kept = random->Below(shard.unflushed.size() + 1);
    for (size_t i = 0; i < kept; ++i) Apply(shard.unflushed[i], &shard.durable);
    shard.unflushed.clear();
    shard.now = shard.durable;
  }
}

void Disk::Apply(const Change& change, Image* image) {
  if (change.wipe) {
    *image = {};
    return;
  }
  for (const auto& [customer, bytes] : change.states) {
    if (bytes) {
      image->states.insert_or_assign(customer, *bytes);
    } else {
      image->states.erase(customer);
    }
  }
  for (const Timer& timer : change.timers_removed) image->timers.erase(timer);
  image->timers.insert(change.timers_added.begin(), change.timers_added.end());
  if (!change.local_meta.empty()) image->local_meta = change.local_meta;
}

}  // namespace heartbeatd::sim
