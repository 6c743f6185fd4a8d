// State as it is stored: a customer, a shard's record, the local store's record (the first byte
// says which). What decodes must encode, and decode again to the same.
#include <optional>
#include <string>
#include <vector>

#include "customer/codec.h"
#include "event/decoder.h"
#include "fuzz/fuzz.h"
#include "shard/evaluator.h"

namespace {

using namespace heartbeatd;
using fuzz::Require;

constexpr EventTime kNow{1'767'225'600'000};  // 2026-01-01

// A customer goes on from there: time passes, an event comes. What detectors remember is theirs to
// read.
void LiveOn(CustomerState* state) {
  static Evaluator evaluator(*fuzz::Rules());
  static const Event kEvent = [] {
    EventDecoder decoder(fuzz::Rules()->schema, {}, FlatFormat());
    Event purchase;
    const auto refused = decoder.Decode(
        R"({"event_id":"a","type":"purchase","customer_id":"b","timestamp":1767225600000,)"
        R"("amount":10,"properties":{"channel":"app","category":"books","cart_id":"1"}})",
        &purchase);
    Require(!refused, "an event");
    return purchase;
  }();
  std::vector<OutgoingAlert> alerts;
  evaluator.OnRulesChanged("b", kNow, kNow, state, &alerts);
  evaluator.OnTimer("b", kNow, kNow, state, &alerts);
  evaluator.OnEvent("b", kEvent, kNow, kNow, state, &alerts);
  for (const OutgoingAlert& alert : alerts)
    Require(!alert.payload.empty(), "an alert says something");
}

void FeedCustomer(std::string_view bytes) {
  static CustomerCodec codec(*fuzz::Rules());
  const Result<EventTime> due = CustomerCodec::DueOf(bytes);
  CustomerState state;
  if (const Status decoded = codec.Decode(bytes, &state); !decoded) {
    Require(decoded.error().code == ExitCode::kBroken, "an unreadable state stops the daemon");
    return;
  }
  Require(due.has_value(), "the deadline of a readable state");
  const std::string once(codec.Encode(state));
  CustomerState again;
  Require(codec.Decode(once, &again).has_value(), "what was encoded decodes");
  Require(CustomerCodec::DueOf(once) == state.Due(), "the deadline alone");
  // NaN is not equal to itself: equal states have equal bytes, so these are compared.
  const std::string twice(codec.Encode(again));
  Require(once == twice, "equal states have equal bytes");
  Require(again.measures.size() == state.measures.size() &&
              again.rules.size() == state.rules.size() && again.lifecycle == state.lifecycle &&
              again.Due() == state.Due(),
          "the same state");
  LiveOn(&again);
}

void FeedMeta(std::string_view bytes) {
  const Result<ShardMeta> meta = DecodeMeta(bytes);
  if (!meta) return;
  const std::string once = EncodeMeta(*meta);
  const Result<ShardMeta> again = DecodeMeta(once);
  Require(again.has_value(), "what was encoded decodes");
  Require(again->next == meta->next && again->clock == meta->clock &&
              again->activity_ms == meta->activity_ms && EncodeMeta(*again) == once,
          "the same record");
}

void FeedLocalMeta(std::string_view bytes) {
  const Result<LocalMeta> meta = DecodeLocalMeta(bytes);
  if (!meta) return;
  const std::string once = EncodeLocalMeta(*meta);
  const Result<LocalMeta> again = DecodeLocalMeta(once);
  Require(again.has_value(), "what was encoded decodes");
  Require(again->synced.position == meta->synced.position &&
              again->cluster_id == meta->cluster_id && EncodeLocalMeta(*again) == once,
          "the same record");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  switch (input.Byte()) {
    case 'm':
      FeedMeta(input.Rest());
      break;
    case 'l':
      FeedLocalMeta(input.Rest());
      break;
    default:
      FeedCustomer(input.Rest());
  }
  return 0;
}
