// Bytes to an Event, or the reason why not.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "event/event.h"

namespace heartbeatd {

// The flat format:
//   {"event_id":"e1","type":"purchase","customer_id":"c42","timestamp":"2026-03-01T09:00:00Z",
//    "amount":12.5,"currency":"EUR","properties":{"channel":"app"}}
// `timestamp` is RFC 3339 text or epoch milliseconds as a number; ids are text or whole numbers;
// `tick` needs neither customer nor event id. Unknown fields are ignored; null counts as absent.
//
// Not thread-safe: it owns the parser's buffers. The schema must outlive it.
class FlatDecoder {
 public:
  // `currency`: if set, events that carry another one are refused.
  FlatDecoder(const EventSchema& schema, std::optional<std::string> currency);
  ~FlatDecoder();
  FlatDecoder(const FlatDecoder&) = delete;
  FlatDecoder& operator=(const FlatDecoder&) = delete;

  // Overwrites *event entirely. Does not look at any clock: kFutureTimestamp is the shard's to say.
  [[nodiscard]] std::optional<DeadLetterReason> Decode(std::string_view payload, Event* event);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace heartbeatd
