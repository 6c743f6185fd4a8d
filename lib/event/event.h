// One customer interaction, as the rest of the daemon sees it, and the list of reasons for which a
// message is refused.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/node.h"
#include "base/time.h"

namespace heartbeatd {

// Types that mean something by themselves. Any other type is kOther and counts only where a
// measure names it.
enum class BuiltinType : uint8_t {
  kOther,
  kPurchase,
  kRefund,
  kLogin,
  kSubscription,
  kSupport,
  kContract,
  kSignup,
  kFeedback,
  kReferral,
  kReview,
  kShare,
  kErase,
  kTick,
};

// The names of types and properties that the configuration mentions, numbered from 0. A decoder
// keeps only these. Built once, then read-only and thread-safe.
class EventSchema {
 public:
  static constexpr int kUnknown = -1;

  // The number of the name, given on first use.
  int AddType(std::string_view name) { return Add(types_, name); }
  int AddProperty(std::string_view name) { return Add(properties_, name); }

  [[nodiscard]] int TypeOf(std::string_view name) const { return Find(types_, name); }
  [[nodiscard]] int PropertyOf(std::string_view name) const { return Find(properties_, name); }
  [[nodiscard]] const std::vector<std::string>& properties() const { return properties_; }
  [[nodiscard]] const std::vector<std::string>& types() const { return types_; }

  // A `where` that names a property: its place, and whose it is. For people who have misspelt one.
  struct Mention {
    int property = kUnknown;
    Place place;
    std::string of;
  };
  std::vector<Mention>& mentions() { return mentions_; }
  [[nodiscard]] const std::vector<Mention>& mentions() const { return mentions_; }

 private:
  // Linear: a configuration names a handful, and short vectors beat hashing.
  static int Find(const std::vector<std::string>& names, std::string_view name) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) return static_cast<int>(i);
    }
    return kUnknown;
  }
  static int Add(std::vector<std::string>& names, std::string_view name) {
    const int known = Find(names, name);
    if (known != kUnknown) return known;
    names.emplace_back(name);
    return static_cast<int>(names.size()) - 1;
  }

  std::vector<std::string> types_;
  std::vector<std::string> properties_;
  std::vector<Mention> mentions_;
};

// A property's value. `text` is canonical: numbers as the shortest decimal ("3", "2.5"), booleans
// as "true" and "false", strings as they are; so a rule's `channel: app` and `level: 3` compare as
// text (number.h makes the same text of what a rule says).
struct Property {
  int id = EventSchema::kUnknown;
  std::string text;
  std::optional<double> number;  // if it is a finite number
};

// Plain data; decoders reuse one object so that its strings keep their memory.
struct Event {
  uint64_t id_hash = 0;     // Hash64 of the event id
  std::string customer_id;  // empty for kTick only; 1..kCustomerIdBytesMax bytes otherwise
  BuiltinType builtin = BuiltinType::kOther;
  int type = EventSchema::kUnknown;  // number in the schema, if the configuration names it
  EventTime time;
  std::optional<int64_t> amount_micros;  // within +-kAmountMicrosMax
  std::vector<Property> properties;      // only those the schema names

  [[nodiscard]] const Property* Find(int property) const {
    for (const Property& p : properties) {
      if (p.id == property) return &p;
    }
    return nullptr;
  }
};

inline constexpr size_t kCustomerIdBytesMax = 256;
inline constexpr size_t kPayloadBytesMax = 256 * 1024;
inline constexpr size_t kJsonDepthMax = 32;
inline constexpr int64_t kMicrosPerUnit = 1'000'000;
// 100 billion units: far above any purchase, and 90 of them fit into a sum before it saturates.
inline constexpr int64_t kAmountMicrosMax = 100'000'000'000 * kMicrosPerUnit;
// The same in units.
inline constexpr double kAmountMax =
    static_cast<double>(kAmountMicrosMax) / static_cast<double>(kMicrosPerUnit);
// Rounded; `units` within +-kAmountMax.
inline int64_t MicrosOf(double units) {
  return std::llround(units * static_cast<double>(kMicrosPerUnit));
}

// Why a message went to the dead-letter topic. A closed list: the names are part of the interface
// (header `reason`, metric label) and documented in docs/architecture.md.
enum class DeadLetterReason : uint8_t {
  kNotJson,            // not one JSON object in UTF-8
  kTooDeep,            // nested deeper than kJsonDepthMax
  kTooLong,            // payload over kPayloadBytesMax
  kMissingEventId,     // also: not a string or a whole number, or empty
  kMissingCustomerId,  // likewise
  kCustomerIdTooLong,
  kMissingType,
  kBadTimestamp,     // missing, unreadable, or outside the years 1900 to 2999
  kFutureTimestamp,  // beyond wall time + time.future_skew
  kBadAmount,        // not a number, or not finite
  kAmountTooLarge,   // beyond kAmountMicrosMax
  kBadProperties,    // `properties` is not an object
  kOtherCurrency,    // not the configured currency
  kStateTooLarge,    // the customer's encoded state would pass its bound
  kPoison,           // its transaction failed twice with the same offsets
};
inline constexpr size_t kDeadLetterReasonCount = static_cast<size_t>(DeadLetterReason::kPoison) + 1;

// "not_json", "future_timestamp", ...
std::string_view NameOf(DeadLetterReason reason);

// The built-in meaning of a type's name.
BuiltinType BuiltinTypeOf(std::string_view type);

}  // namespace heartbeatd
