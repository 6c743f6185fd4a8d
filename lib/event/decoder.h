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
// `tick` needs neither customer nor event id. Unknown fields are ignored; null counts as absent; of
// equal keys the last one counts. `amount` and `currency` may be absent from any event; `tick` and
// `erase` carry nothing but ids and time, so whatever else they have cannot get them refused. A
// number beyond 64 bits or a double is legal JSON: exact as an id or a property's text,
// kAmountTooLarge as an amount. Of several reasons to refuse an event the first of this order is
// given: length, JSON, depth, type, event id, customer id, timestamp, currency, amount, properties.
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
