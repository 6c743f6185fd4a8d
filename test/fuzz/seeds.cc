// Writes seeds for the targets `state` and `changelog`: what the production code stores of
// customers who live by fuzz::Rules(). To be run when names or definitions of those rules change,
// or the format.
//
//   fuzz_seeds EVENTS.jsonl FOLDER     writes FOLDER/state/* and FOLDER/changelog/*
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "event/json_lines.h"
#include "fuzz/fuzz.h"
#include "shard/shard.h"
#include "store/memory_store.h"

namespace {

using namespace heartbeatd;
using fuzz::Require;

constexpr WallTime kNow{1'767'225'600'000};  // 2026-01-01
constexpr size_t kEventsMax = 20'000;
constexpr size_t kCommitEvery = 500;
constexpr size_t kStateEvery = 7;  // commits of which the states are kept

class Writer {
 public:
  explicit Writer(std::filesystem::path folder) : folder_(std::move(folder)) {
    for (const char* const target : {"state", "changelog"})
      std::filesystem::create_directories(folder_ / target);
  }
  void Write(const char* target, std::string_view bytes) {
    std::ofstream(folder_ / target / fmt::format("seed-{}", ++files_), std::ios::binary) << bytes;
  }

 private:
  const std::filesystem::path folder_;
  size_t files_ = 0;
};

void AppendNumber(uint64_t value, size_t bytes, std::string* out) {
  for (size_t i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

// As changelog.cc reads it.
void AppendRecord(std::string_view key, std::string_view value, std::string* out) {
  AppendNumber(key.size(), 1, out);
  out->append(key);
  AppendNumber(value.size(), 2, out);
  out->append(value);
}

// A commit as records, with and without a local record that belongs to the log.
void WriteCommit(Shard* shard, Writer* writer) {
  std::string states;
  uint64_t customers = 0;
  for (size_t i = 0; const auto change = shard->customers().Uncommitted(i); ++i) {
    if (!change->value) continue;
    writer->Write("state", "c" + std::string(*change->value));
    if (states.size() > 2000) continue;
    AppendRecord(ChangelogKeyOf(change->id), *change->value, &states);
    ++customers;
  }
  ShardMeta meta = shard->Meta();
  meta.customers = customers;  // as many as the log holds
  std::string records;
  AppendRecord(kChangelogMetaKey, EncodeMeta(meta), &records);
  records += states;
  AppendRecord(kChangelogMetaKey, EncodeMeta(meta), &records);
  const std::string local =
      EncodeLocalMeta({.meta = meta, .synced = {1, kNow}, .cluster_id = "cluster"});
  writer->Write("state", "m" + EncodeMeta(meta));
  writer->Write("state", "l" + local);
  writer->Write("changelog", std::string("\x00\x00", 2) + records);
  std::string with_local("\x03\x05", 2);
  AppendNumber(local.size(), 2, &with_local);
  writer->Write("changelog", with_local + local + records);
}

int Run(const std::string& events, const std::string& folder) {
  Writer writer(folder);
  Result<JsonLinesReader> reader = JsonLinesReader::Open(events);
  Require(reader.has_value(), "the events can be read");
  Shard shard({.topics = {"events"}, .rules = fuzz::Rules(), .time_source = TimeSource::kEvent},
              MakeMemoryStore(), {.changelog_id = "9e8c3a0e-0000-4000-8000-000000000000"});
  std::vector<std::string> payloads(kEventsMax);
  for (size_t i = 0; i < kEventsMax; ++i) {
    std::string_view line;
    const Result<bool> more = reader->Next(&line);
    if (!more || !*more) break;
    payloads[i] = line;
    shard.Offer(0, {.topic = "events", .offset = static_cast<int64_t>(i), .payload = payloads[i]},
                {.wall = kNow});
    while (*shard.Step(1000, kNow) == 1000) {
    }
    if (i % kCommitEvery != 0) continue;
    if (i / kCommitEvery % kStateEvery == kStateEvery - 1) WriteCommit(&shard, &writer);
    shard.OnProduced();
    shard.OnCommitted();
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) return Run(argv[1], argv[2]);
  fmt::print(stderr, "fuzz_seeds EVENTS.jsonl FOLDER\n");
  return 2;
}
