// Where a customer stands: stage, active types and value tier. Each is computed afresh from what is
// known at a time; only what cannot be computed is remembered.
//
//   stage         the highest whose criterion holds, or has held within the last `dwell`: so it
//                 rises at once and falls late.
//                 reach -> acquire -> develop -> retain -> inspire, steps left out or not
//   active types  what a customer has at a time, each with its own end
//   value tier    low, middle, high: by the money of the last twelve months
//
// Pure functions; `now` never goes back for one customer.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/calendar.h"
#include "base/time.h"
#include "event/event.h"
#include "lifecycle/term.h"
#include "measure/measure.h"

namespace heartbeatd {

enum class Stage : uint8_t { kNone, kReach, kAcquire, kDevelop, kRetain, kInspire };
inline constexpr size_t kStageCount = 6;

// "none", "reach", ..., "inspire".
std::string_view NameOf(Stage stage);
std::optional<Stage> StageOf(std::string_view name);
// Whether the table of transitions has this one.
bool IsLegal(Stage from, Stage to);

enum class ActiveType : uint8_t {
  kRecentPurchase,
  kLoyal,
  kSupportService,
  kProductSubscription,
  kServiceSubscription,
  kContract
};
inline constexpr size_t kActiveTypeCount = 6;
using ActiveTypes = std::bitset<kActiveTypeCount>;

// "recent_purchase", "loyal", ...
std::string_view NameOf(ActiveType type);
std::optional<ActiveType> ActiveTypeOf(std::string_view name);

enum class ValueTier : uint8_t { kNone, kLow, kMiddle, kHigh };
inline constexpr size_t kValueTierCount = 4;

// "none", "low", "middle", "high".
std::string_view NameOf(ValueTier tier);
std::optional<ValueTier> ValueTierOf(std::string_view name);

// At least so many purchases within the running bucket and those before it.
struct EnoughPurchases {
  uint32_t at_least = 1;  // >= 1
  Duration within{};
  int32_t buckets = 0;  // `within` in buckets of the measure
};

// Constant after configuration. Types and properties are numbers in the schema.
struct StandingConfig {
  static constexpr Duration kDay = std::chrono::hours(24);

  bool tracks_stages = false;  // stage and active types: else nothing is remembered of them
  bool tracks_tier = false;

  size_t purchases = 0;  // index of the measure that counts them
  EnoughPurchases recent_purchase{.at_least = 1, .within = 365 * kDay};
  EnoughPurchases loyal{.at_least = 5, .within = 182 * kDay};
  // From the newest event about a term that has no end; of the types that come from terms.
  std::array<Duration, kActiveTypeCount> horizon{};

  Duration dwell = 30 * kDay;
  std::vector<int> acquire_types;
  uint32_t develop_purchases = 2;  // ever; 0: no criterion
  std::bitset<kTermTypeCount> develop_running{0b111};
  ActiveTypes retain_types{1u << static_cast<unsigned>(ActiveType::kLoyal)};
  bool retain_renewed = true;  // by a running term that has been renewed
  std::vector<int> inspire_types;
  std::optional<double> inspire_nps = 9;  // an answer of at least so much
  Duration inspire_within = 365 * kDay;
  int metric_property = EventSchema::kUnknown;
  int score_property = EventSchema::kUnknown;

  size_t money = 0;  // index of the measure that sums it
  int32_t money_buckets = 0;
  Duration money_within = 365 * kDay;
  int64_t high_micros = 0;
  int64_t middle_micros = 0;
};

// What is remembered. Default: nothing is known.
struct Standing {
  Stage stage = Stage::kNone;
  Stage previous = Stage::kNone;
  EventTime since;                 // of `stage`; meaningless while it is kNone
  std::bitset<kStageCount> holds;  // criteria that held at the last look
  // When a criterion ceased to hold; Never() if it holds, or its dwell is over.
  std::array<EventTime, kStageCount> ceased = [] {
    std::array<EventTime, kStageCount> never;
    never.fill(EventTime::Never());
    return never;
  }();
  bool acquired = false;                  // signed up, bought or logged in, ever
  EventTime inspired = EventTime::Min();  // newest referral, review, share or praise
  ActiveTypes types;
  ActiveTypes types_changed;  // ever
  std::array<EventTime, kActiveTypeCount>
      types_since{};  // of the newest change, where there is one
  ValueTier tier = ValueTier::kNone;
  EventTime due = EventTime::Never();  // when the next of these changes if no event comes
  bool operator==(const Standing&) const = default;
};

// What standing is computed from. References live for the call.
struct StandingSubject {
  const StandingConfig& config;
  std::span<const MeasureDef> measure_defs;
  std::span<const MeasureState> measures;
  const Calendar& calendar;
  const std::vector<Term>& terms;
};

// Notes what an event says by itself; measures and terms have it already.
void NoteEvent(const StandingConfig& config, const Event& event, Standing* standing);

// Computes everything that is tracked as of `now`, and when to look again. True if stage, an active
// type or the tier changed.
bool UpdateStanding(const StandingSubject& subject, EventTime now, Standing* standing);

}  // namespace heartbeatd
