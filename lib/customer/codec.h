// The versioned encoding of customers and shard records (docs/state-format.md).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "customer/state.h"
#include "rules/ruleset.h"

namespace heartbeatd {

// A binary reads every format up to this one, and refuses newer ones.
inline constexpr uint32_t kFormatVersion = 2;
// A customer's encoded state is never longer.
inline constexpr size_t kStateBytesMax = 64 * 1024;

// Encodes and decodes customers in the layout of one rule set: parts of measures and rules that the
// set does not know are dropped when read, those that are new start empty. Equal states have equal
// bytes. Not thread-safe: it keeps a buffer. The rule set must outlive it.
class CustomerCodec {
 public:
  explicit CustomerCodec(const RuleSet& rules);

  // Good until the next call.
  std::string_view Encode(const CustomerState& state);
  // Error: the bytes are not a customer.
  Status Decode(std::string_view bytes, CustomerState* state) const;
  // The deadline alone, for rebuilding the timer index.
  static Result<EventTime> DueOf(std::string_view bytes);

 private:
  const RuleSet& rules_;
  std::vector<size_t> measure_order_;
  std::vector<size_t> rule_order_;
  std::vector<char> buffer_;
};

// Stands for no rules at all: customers are as of some here, of others there.
inline constexpr uint64_t kRulesUnsettled = 0;

// The shard's own record, part of every commit.
struct ShardMeta {
  EventTime clock = EventTime::Min();   // T
  std::map<std::string, int64_t> next;  // next offset per input topic
  uint64_t rules_hash = kRulesUnsettled;
  std::string changelog_id;
  std::vector<int64_t> activity_ms;  // see Traffic in shard/traffic.h
  uint64_t events = 0;               // accepted ones, ever
  EventTime last_event = EventTime::Min();
  uint64_t customers = 0;
  bool activity_as_of_touch = false;  // see LifecycleConfig::watched
};
std::string EncodeMeta(const ShardMeta& meta);
// Error: unreadable, or of a newer format.
Result<ShardMeta> DecodeMeta(std::string_view bytes);

// How far of the changelog the states are, and since when that may be too little: whatever stands
// behind the position was written after `at`. A tombstone there is kept for a time that counts from
// its writing, so the time of a later save would not do: the process may have been frozen
// meanwhile.
struct Synced {
  int64_t position = 0;  // next changelog offset to replay
  WallTime at;
};

// What the local store knows of itself.
struct LocalMeta {
  ShardMeta meta;
  Synced synced;
  std::string cluster_id;
  bool rebuilding = false;  // not all customers are there yet, or nobody has counted them
};
std::string EncodeLocalMeta(const LocalMeta& meta);
Result<LocalMeta> DecodeLocalMeta(std::string_view bytes);

// Keys of the changelog: a customer may be called anything.
std::string ChangelogKeyOf(std::string_view customer);
inline constexpr std::string_view kChangelogMetaKey = "m";
// The customer of a key; nothing for the meta record or anything else.
std::optional<std::string_view> CustomerOf(std::string_view changelog_key);

}  // namespace heartbeatd
