// What the daemon does for one event, without Kafka and RocksDB: decode, apply, evaluate, encode.
// Counts what does not depend on the machine: allocations and bytes. For instructions let callgrind
// run it (quick.py does).
//
//   bench_per_event EVENTS.jsonl CONFIG.yaml...
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "shard/shard.h"
#include "store/memory_store.h"

namespace {

uint64_t g_allocations = 0;
uint64_t g_allocated_bytes = 0;

}  // namespace

void* operator new(size_t bytes) {
  ++g_allocations;
  g_allocated_bytes += bytes;
  if (void* at = std::malloc(bytes)) return at;
  throw std::bad_alloc();
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }

namespace heartbeatd {
namespace {

constexpr size_t kTransaction = 2000;  // events

int GiveUp(const std::string& message) {
  fmt::print(stderr, "bench_per_event: {}\n", message);
  return 1;
}

int Run(const std::string& file, const std::vector<std::string>& configurations) {
  const Result<LoadedConfig> config = LoadConfig(configurations, ConfigUse::kBacktest);
  if (!config) return GiveUp(config.error().message);
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  if (lines.empty()) return GiveUp("no events in " + file);

  Shard shard({.topics = {"events"}, .rules = config->rules, .time_source = TimeSource::kEvent},
              MakeMemoryStore(), ShardMeta{});
  uint64_t changelog_bytes = 0;
  uint64_t alerts = 0;
  uint64_t alert_bytes = 0;
  const WallTime now(4'000'000'000'000);  // 2096: nothing is from the future
  const uint64_t allocations_before = g_allocations;
  const uint64_t bytes_before = g_allocated_bytes;
  for (size_t i = 0; i < lines.size(); ++i) {
    shard.Offer(0, {.topic = "events", .offset = static_cast<int64_t>(i), .payload = lines[i]},
                {now, Duration(0)});
    if ((i + 1) % kTransaction != 0 && i + 1 < lines.size()) continue;
    while (true) {
      const Result<size_t> done = shard.Step(kTransaction, now);
      if (!done) return GiveUp(done.error().message);
      for (size_t n = 0; const auto change = shard.customers().Uncommitted(n); ++n)
        changelog_bytes += change->value.value_or("").size();
      for (const OutgoingAlert& alert : shard.outbox().alerts) alert_bytes += alert.payload.size();
      alerts += shard.outbox().alerts.size();
      shard.OnProduced();
      shard.OnCommitted();
      if (*done < kTransaction) break;
    }
  }
  const auto per_event = [&](uint64_t n) {
    return static_cast<double>(n) / static_cast<double>(lines.size());
  };
  fmt::print(
      "{{\"events\":{},\"allocations\":{:.3f},\"allocated_bytes\":{:.1f},\"changelog_bytes\":{:.1f}"
      ","
      "\"alert_bytes\":{:.1f},\"alerts\":{:.4f}}}\n",
      lines.size(), per_event(g_allocations - allocations_before),
      per_event(g_allocated_bytes - bytes_before), per_event(changelog_bytes),
      per_event(alert_bytes), per_event(alerts));
  return 0;
}

}  // namespace
}  // namespace heartbeatd

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("bench_per_event EVENTS.jsonl CONFIG.yaml...\n", stderr);
    return 2;
  }
  return heartbeatd::Run(argv[1], {argv + 2, argv + argc});
}
