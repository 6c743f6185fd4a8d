// The event decoder: any bytes are an event within its documented bounds, or refused; and what came
// before changes nothing.
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view payload = fuzz::TextOf(data, size);
  const RuleSet& rules = *fuzz::Rules();
  static EventDecoder decoder(rules.schema, rules.currency);
  static Event event;
  const auto refused = decoder.Decode(payload, &event);
  if (refused) {
    Require(!NameOf(*refused).empty(), "a refusal has a reason");
  } else {
    CheckBounds(event);
  }
  static EventDecoder other(rules.schema, rules.currency);
  static Event again;
  Require(!other.Decode(kBefore, &again), "the message before is fine");
  Require(other.Decode(payload, &again) == refused, "the verdict depends on earlier messages");
  Require(refused || Same(event, again), "the event depends on earlier messages");
  return 0;
}
