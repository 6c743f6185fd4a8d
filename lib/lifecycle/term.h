// Terms: what a customer has for a while: a subscription, paid support, a contract. Events of these
// types begin, renew, cancel and end them (properties `status`, `plan`, `kind`, `starts_at`,
// `ends_at`); what the newest event says counts.
//
//   status      what it does to the term of its type, plan and kind
//   started     begins it: from `starts_at` (default: now) to `ends_at` (default: until cancelled)
//   renewed     goes on to `ends_at` (default: until cancelled)
//   cancelled   ends at `ends_at` if given, else now
//   expired     has ended, at `ends_at` if given, else now
//   (none)      nothing, unless there is `ends_at`: then it moves the end, and begins a new term
//
// Renewals, cancellations and ends without a plan are about the term that changed last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/calendar.h"
#include "base/time.h"
#include "event/event.h"

namespace heartbeatd {

enum class TermType : uint8_t { kSubscription, kSupport, kContract };
inline constexpr size_t kTermTypeCount = 3;

// "subscription", "support", "contract".
std::string_view NameOf(TermType type);
std::optional<TermType> TermTypeOf(std::string_view name);
std::optional<TermType> TermTypeOf(BuiltinType type);

struct Term {
  TermType type = TermType::kSubscription;
  bool product = false;  // property `kind: product`; else a service
  std::string plan;      // cut at kPlanBytesMax bytes; empty: it has no name
  EventTime starts_at;
  EventTime ends_at = EventTime::Never();  // Never(): until it is cancelled
  EventTime changed_at;                    // time of the newest event about it
  bool cancelled = false;
  bool renewed = false;
  bool operator==(const Term&) const = default;

  [[nodiscard]] bool RunsAt(EventTime t) const { return starts_at <= t && t < ends_at; }
};

// Bounds: of terms that are too many, those go first that ended first; terms that ended long ago go
// when the next event of a term comes.
inline constexpr size_t kTermsMax = 16;
inline constexpr size_t kPlanBytesMax = 128;
inline constexpr Duration kTermKept = std::chrono::hours(24) * 400;

// The properties that terms are read from; numbers in the schema.
struct TermFields {
  int status = EventSchema::kUnknown;
  int plan = EventSchema::kUnknown;
  int kind = EventSchema::kUnknown;
  int starts_at = EventSchema::kUnknown;
  int ends_at = EventSchema::kUnknown;
};
TermFields AddTermFields(EventSchema& schema);

// Applies an event to the customer's terms, which are kept ascending by type, plan and kind. Events
// of other types, and those that are older than what is known of their term, change nothing. `now`
// is the shard's clock.
void ApplyToTerms(const TermFields& fields, const Calendar& calendar, const Event& event,
                  EventTime now, std::vector<Term>* terms);

}  // namespace heartbeatd
