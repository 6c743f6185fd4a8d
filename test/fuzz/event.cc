// The event decoder: any bytes are in every format an event within its documented bounds, or
// refused; and what came before changes nothing.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "event/decoder.h"
#include "fuzz/fuzz.h"

namespace {

using namespace heartbeatd;
using fuzz::Require;

// Leaves something in every place that a decoder uses again.
constexpr std::string_view kBefore =
    R"({"event_id":"a","type":"session","customer_id":"b","timestamp":1767225600000,"amount":1e2,)"
    R"("huge":1e999,"properties":{"channel":"app","category":7,"minutes":2.5}})";

void CheckBounds(const Event& event) {
  if (event.builtin == BuiltinType::kTick) {
    Require(event.customer_id.empty(), "a tick has no customer");
  } else {
    Require(!event.customer_id.empty() && event.customer_id.size() <= kCustomerIdBytesMax,
            "length of the customer's id");
  }
  Require(event.time >= kEventTimeMin && event.time < kEventTimeMax, "time");
  if (event.amount_micros) Require(std::abs(*event.amount_micros) <= kAmountMicrosMax, "amount");
  const EventSchema& schema = fuzz::Rules()->schema;
  for (const Property& property : event.properties) {
    Require(property.id >= 0 && static_cast<size_t>(property.id) < schema.properties().size(),
            "a property that the schema names");
    Require(event.Find(property.id) == &property, "a property twice");
    Require(!property.number || std::isfinite(*property.number), "a finite number");
  }
}

bool Same(const Event& a, const Event& b) {
  const auto same = [](const Property& x, const Property& y) {
    return x.id == y.id && x.text == y.text && x.number == y.number;
  };
  return a.id_hash == b.id_hash && a.customer_id == b.customer_id && a.builtin == b.builtin &&
         a.type == b.type && a.time == b.time && a.amount_micros == b.amount_micros &&
         std::equal(a.properties.begin(), a.properties.end(), b.properties.begin(),
                    b.properties.end(), same);
}

EventFormat Pointers() {
  EventFormat format = FlatFormat();
  format.At(EventField::kCustomerId) = {{"properties", "user", "0"}, {"customer_id"}};
  format.At(EventField::kProperties) = {{}};
  format.properties = {{"channel", {"properties", "channel"}}, {"minutes", {"a", "1", "b"}}};
  format.types = {{"page", "session"}};
  return format;
}

// Two decoders of one format: what only one of them has seen before must not matter.
struct Pair {
  explicit Pair(const EventFormat& format)
      : decoder(fuzz::Rules()->schema, fuzz::Rules()->currency, format),
        other(fuzz::Rules()->schema, fuzz::Rules()->currency, format) {}

  void Check(std::string_view payload, std::span<const MessageHeader> headers) {
    const auto refused = decoder.Decode(payload, headers, &event);
    if (refused) {
      Require(!NameOf(*refused).empty(), "a refusal has a reason");
    } else {
      CheckBounds(event);
    }
    (void)other.Decode(kBefore, &again);
    Require(other.Decode(payload, headers, &again) == refused,
            "the verdict depends on earlier messages");
    Require(refused || Same(event, again), "the event depends on earlier messages");
  }

  EventDecoder decoder, other;
  Event event, again;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view payload = fuzz::TextOf(data, size);
  static Pair formats[] = {Pair(FlatFormat()), Pair(SegmentFormat()), Pair(CloudEventsFormat()),
                           Pair(Pointers())};
  // In the format that knows headers: the payload as the data, and part of it as a header.
  const MessageHeader headers[] = {{"ce_specversion", "1.0"},
                                   {"ce_id", "1"},
                                   {"ce_type", "session"},
                                   {"ce_subject", payload.substr(0, 300)},
                                   {"ce_time", "2026-01-01T00:00:00Z"}};
  for (Pair& format : formats) {
    format.Check(payload, {});
    if (format.decoder.wants_headers()) format.Check(payload, headers);
  }
  static EventDecoder flat(fuzz::Rules()->schema, fuzz::Rules()->currency);
  static Event event;
  Require(!flat.Decode(kBefore, &event), "the message before is fine");
  return 0;
}
