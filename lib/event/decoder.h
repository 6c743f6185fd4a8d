// Bytes to an Event, or the reason why not.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "event/event.h"
#include "event/format.h"

namespace heartbeatd {

// A header of a message. Views live for the call.
struct MessageHeader {
  std::string_view name;
  std::string_view value;
};

// Reads messages of one format; by default the flat one:
//   {"event_id":"e1","type":"purchase","customer_id":"c42","timestamp":"2026-03-01T09:00:00Z",
//    "amount":12.5,"currency":"EUR","properties":{"channel":"app"}}
// `timestamp` is RFC 3339 text or epoch milliseconds as a number; ids are text or whole numbers;
// `tick` needs neither customer nor event id. Unknown fields are ignored; null counts as absent; of
// equal keys the last one counts. `amount` and `currency` may be absent from any event; `tick` and
// `erase` carry nothing but ids and time, so whatever else they have cannot get them refused. A
// number beyond 64 bits or a double is legal JSON: exact as an id or a property's text,
// kAmountTooLarge as an amount. Of several reasons to refuse an event the first of this order is
// given: length, JSON, depth, type, event id, customer id, timestamp, currency, amount, properties.
// All this holds for every format: they differ in where a field stands.
//
// Not thread-safe: it owns the parser's buffers. The schema must outlive it.
class EventDecoder {
 public:
  // `currency`: if set, events that carry another one are refused.
  EventDecoder(const EventSchema& schema, std::optional<std::string> currency,
               EventFormat format = FlatFormat());
  ~EventDecoder();
  EventDecoder(const EventDecoder&) = delete;
  EventDecoder& operator=(const EventDecoder&) = delete;

  // Overwrites *event entirely. Does not look at any clock: kFutureTimestamp is the shard's to say.
  [[nodiscard]] std::optional<DeadLetterReason> Decode(std::string_view payload, Event* event);
  [[nodiscard]] std::optional<DeadLetterReason> Decode(std::string_view payload,
                                                       std::span<const MessageHeader> headers,
                                                       Event* event);
  // Whether headers matter in this format: fetching them costs something.
  [[nodiscard]] bool wants_headers() const { return wants_headers_; }

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  const bool wants_headers_;
};

}  // namespace heartbeatd
