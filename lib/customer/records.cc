// The shard's own records; customers' states are in codec.cc.
#include <fmt/format.h>

#include <utility>

#include "customer/codec.h"
#include "state.pb.h"

namespace heartbeatd {
namespace {

void WriteMeta(const ShardMeta& from, state::Meta* to) {
  to->set_format_version(kFormatVersion);
  to->set_clock_ms(from.clock.ms());
  for (const auto& [topic, offset] : from.next) {
    state::TopicOffset* next = to->add_next();
    next->set_topic(topic);
    next->set_next_offset(offset);
  }
  to->set_rules_hash(from.rules_hash);
  to->set_changelog_id(from.changelog_id);
  for (const int64_t ms : from.activity_ms) to->add_activity_ms(ms);
  to->set_events(from.events);
  to->set_last_event_ms(from.last_event.ms());
  to->set_customers(from.customers);
  to->set_activity_as_of_touch(from.activity_as_of_touch);
}

Result<ShardMeta> ReadMeta(const state::Meta& from) {
  if (from.format_version() == 0)
    return Fail("the shard's record has no format version", ExitCode::kBroken);
  if (from.format_version() > kFormatVersion) {
    return Fail(
        fmt::format("the state has format {}, this heartbeatd reads up to {}: run a newer one",
                    from.format_version(), kFormatVersion),
        ExitCode::kBroken);
  }
  ShardMeta to;
  to.clock = EventTime(from.clock_ms());
  for (const state::TopicOffset& next : from.next()) to.next[next.topic()] = next.next_offset();
  to.rules_hash = from.rules_hash();
  to.changelog_id = from.changelog_id();
  to.activity_ms.assign(from.activity_ms().begin(), from.activity_ms().end());
  to.events = from.events();
  to.last_event = EventTime(from.last_event_ms());
  to.customers = from.customers();
  to.activity_as_of_touch = from.activity_as_of_touch();
  return to;
}

bool Parse(std::string_view bytes, google::protobuf::MessageLite* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

std::string EncodeMeta(const ShardMeta& meta) {
  state::Meta message;
  WriteMeta(meta, &message);
  return message.SerializeAsString();
}

Result<ShardMeta> DecodeMeta(std::string_view bytes) {
  state::Meta message;
  if (!Parse(bytes, &message)) return Fail("the shard's record is not readable", ExitCode::kBroken);
  return ReadMeta(message);
}

std::string EncodeLocalMeta(const LocalMeta& meta) {
  state::LocalMeta message;
  WriteMeta(meta.meta, message.mutable_meta());
  message.set_position(meta.synced.position);
  message.set_synced_at_ms(meta.synced.at.ms());
  message.set_cluster_id(meta.cluster_id);
  message.set_rebuilding(meta.rebuilding);
  return message.SerializeAsString();
}

Result<LocalMeta> DecodeLocalMeta(std::string_view bytes) {
  state::LocalMeta message;
  if (!Parse(bytes, &message))
    return Fail("the local store's record is not readable", ExitCode::kBroken);
  Result<ShardMeta> meta = ReadMeta(message.meta());
  if (!meta) return std::unexpected(std::move(meta.error()));
  return LocalMeta{.meta = std::move(*meta),
                   .synced = {message.position(), WallTime(message.synced_at_ms())},
                   .cluster_id = message.cluster_id(),
                   .rebuilding = message.rebuilding()};
}

}  // namespace heartbeatd
