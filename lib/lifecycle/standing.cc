#include "lifecycle/standing.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace heartbeatd {
namespace {

constexpr std::array<std::string_view, kStageCount> kStages = {"none",    "reach",  "acquire",
                                                               "develop", "retain", "inspire"};
constexpr std::array<std::string_view, kActiveTypeCount> kActiveTypes = {
    "recent_purchase",      "loyal",   "support_service", "product_subscription",
    "service_subscription", "contract"};
constexpr std::array<std::string_view, kValueTierCount> kValueTiers = {"none", "low", "middle",
                                                                       "high"};

template <typename Enum, size_t kCount>
std::optional<Enum> Find(const std::array<std::string_view, kCount>& names, std::string_view name) {
  const auto it = std::find(names.begin(), names.end(), name);
  if (it == names.end()) return {};
  return static_cast<Enum>(it - names.begin());
}

// Row: from; column: to. Nobody becomes unknown again; who was won once stays at least that.
constexpr bool kLegal[kStageCount][kStageCount] = {
    // none, reach, acquire, develop, retain, inspire
    {false, true, true, true, true, true},    // none
    {false, false, true, true, true, true},   // reach
    {false, false, false, true, true, true},  // acquire
    {false, true, true, false, true, true},   // develop
    {false, true, true, true, false, true},   // retain
    {false, true, true, true, true, false},   // inspire
};

constexpr size_t Index(Stage stage) { return static_cast<size_t>(stage); }

bool Contains(const std::vector<int>& types, int type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

// -- Active types --------------------------------------------------------------------------------

ActiveType TypeOf(const Term& term) {
  switch (term.type) {
    case TermType::kSupport:
      return ActiveType::kSupportService;
    case TermType::kContract:
      return ActiveType::kContract;
    case TermType::kSubscription:
      break;
  }
  return term.product ? ActiveType::kProductSubscription : ActiveType::kServiceSubscription;
}

EventTime EndOf(const StandingConfig& config, const Term& term) {
  if (term.ends_at != EventTime::Never()) return term.ends_at;
  return term.changed_at + config.horizon[static_cast<size_t>(TypeOf(term))];
}

bool Runs(const StandingConfig& config, const Term& term, EventTime t) {
  return term.starts_at <= t && t < EndOf(config, term);
}

// Until when there are enough, if no other purchase comes; Min() if there never were.
EventTime EnoughUntil(const StandingSubject& s, const EnoughPurchases& enough) {
  const MeasureDef& def = s.measure_defs[s.config.purchases];
  const std::vector<Bucket>& buckets = s.measures[s.config.purchases].buckets;
  uint64_t count = 0;
  for (auto bucket = buckets.rbegin(); bucket != buckets.rend(); ++bucket) {
    count += bucket->count;
    if (count >= enough.at_least)
      return BucketStart(def.resolution, s.calendar, bucket->index + enough.buckets);
  }
  return EventTime::Min();
}

// The types held at `now`; lowers *next to the next moment after it at which one begins or ends.
ActiveTypes TypesAt(const StandingSubject& s, EventTime now, EventTime* next) {
  ActiveTypes types;
  const auto lower = [&](EventTime t) {
    if (t > now) *next = std::min(*next, t);
  };
  const std::pair<ActiveType, const EnoughPurchases*> counted[] = {
      {ActiveType::kRecentPurchase, &s.config.recent_purchase},
      {ActiveType::kLoyal, &s.config.loyal}};
  for (const auto& [type, enough] : counted) {
    const EventTime until = EnoughUntil(s, *enough);
    if (until > now) types.set(static_cast<size_t>(type));
    lower(until);
  }
  for (const Term& term : s.terms) {
    if (Runs(s.config, term, now)) types.set(static_cast<size_t>(TypeOf(term)));
    lower(term.starts_at);
    lower(EndOf(s.config, term));
  }
  return types;
}

bool UpdateTypes(ActiveTypes types, EventTime now, Standing* standing) {
  const ActiveTypes changed = types ^ standing->types;
  for (size_t i = 0; i < kActiveTypeCount; ++i) {
    if (changed.test(i)) standing->types_since[i] = now;
  }
  standing->types_changed |= changed;
  standing->types = types;
  return changed.any();
}

// -- Stage ---------------------------------------------------------------------------------------

// The criteria that hold at `now`. What ends by itself has lowered *next in TypesAt(), but for
// inspiration.
std::bitset<kStageCount> CriteriaAt(const StandingSubject& s, const Standing& standing,
                                    EventTime now, EventTime* next) {
  const StandingConfig& config = s.config;
  std::bitset<kStageCount> holds;
  holds.set(Index(Stage::kReach));
  const uint64_t purchases = s.measures[config.purchases].count;
  holds.set(Index(Stage::kAcquire), standing.acquired);
  bool develop = config.develop_purchases > 0 && purchases >= config.develop_purchases;
  bool retain = (standing.types & config.retain_types).any();
  for (const Term& term : s.terms) {
    if (!Runs(config, term, now)) continue;
    develop = develop || config.develop_running.test(static_cast<size_t>(term.type));
    retain = retain || (config.retain_renewed && term.renewed);
  }
  holds.set(Index(Stage::kDevelop), develop);
  holds.set(Index(Stage::kRetain), retain);
  const EventTime inspires_until = standing.inspired + config.inspire_within;
  holds.set(Index(Stage::kInspire), inspires_until > now);
  if (inspires_until > now) *next = std::min(*next, inspires_until);
  return holds;
}

bool UpdateStage(const StandingSubject& s, EventTime now, EventTime* next, Standing* standing) {
  // Of customers who are older than this configuration the measure may know it.
  if (s.measures[s.config.purchases].count > 0) standing->acquired = true;
  const std::bitset<kStageCount> holds = CriteriaAt(s, *standing, now, next);
  Stage stage = Stage::kReach;
  for (size_t i = Index(Stage::kReach); i < kStageCount; ++i) {
    EventTime& ceased = standing->ceased[i];
    if (holds.test(i)) {
      ceased = EventTime::Never();
    } else if (standing->holds.test(i)) {
      ceased = now;
    }
    const EventTime kept_until = ceased + s.config.dwell;
    const bool dwells = ceased != EventTime::Never() && kept_until > now;
    if (!dwells) ceased = EventTime::Never();
    if (dwells) *next = std::min(*next, kept_until);
    if (holds.test(i) || dwells) stage = static_cast<Stage>(i);
  }
  standing->holds = holds;
  if (stage == standing->stage) return false;
  standing->previous = standing->stage;
  standing->stage = stage;
  standing->since = now;
  return true;
}

// -- Value tier ----------------------------------------------------------------------------------

ValueTier TierOf(const StandingConfig& config, int64_t micros) {
  if (micros >= config.high_micros) return ValueTier::kHigh;
  return micros >= config.middle_micros ? ValueTier::kMiddle : ValueTier::kLow;
}

bool UpdateTier(const StandingSubject& s, EventTime now, EventTime* next, Standing* standing) {
  const StandingConfig& config = s.config;
  const MeasureDef& def = s.measure_defs[config.money];
  const std::vector<Bucket>& buckets = s.measures[config.money].buckets;
  const int32_t oldest = BucketOf(def.resolution, s.calendar, now) - config.money_buckets + 1;
  const auto begin = std::lower_bound(buckets.begin(), buckets.end(), oldest,
                                      [](const Bucket& b, int32_t i) { return b.index < i; });
  int64_t money = 0;
  for (auto bucket = begin; bucket != buckets.end(); ++bucket)
    money = SaturatingAdd(money, bucket->sum_micros);
  const ValueTier tier = TierOf(config, money);
  // The oldest bucket with whose end the tier is another one.
  int64_t left = 0;
  int32_t leaves = std::numeric_limits<int32_t>::max();
  for (auto bucket = buckets.end(); bucket != begin;) {
    --bucket;
    if (TierOf(config, left) != tier) leaves = bucket->index;
    left = SaturatingAdd(left, bucket->sum_micros);
  }
  if (leaves != std::numeric_limits<int32_t>::max()) {
    *next = std::min(*next, BucketStart(def.resolution, s.calendar, leaves + config.money_buckets));
  }
  return std::exchange(standing->tier, tier) != tier;
}

}  // namespace

std::string_view NameOf(Stage stage) { return kStages[Index(stage)]; }
std::optional<Stage> StageOf(std::string_view name) { return Find<Stage>(kStages, name); }
bool IsLegal(Stage from, Stage to) { return kLegal[Index(from)][Index(to)]; }

std::string_view NameOf(ActiveType type) { return kActiveTypes[static_cast<size_t>(type)]; }
std::optional<ActiveType> ActiveTypeOf(std::string_view name) {
  return Find<ActiveType>(kActiveTypes, name);
}

std::string_view NameOf(ValueTier tier) { return kValueTiers[static_cast<size_t>(tier)]; }
std::optional<ValueTier> ValueTierOf(std::string_view name) {
  return Find<ValueTier>(kValueTiers, name);
}

void NoteEvent(const StandingConfig& config, const Event& event, Standing* standing) {
  if (!config.tracks_stages) return;
  if (Contains(config.acquire_types, event.type)) standing->acquired = true;
  bool inspires = Contains(config.inspire_types, event.type);
  if (event.builtin == BuiltinType::kFeedback && config.inspire_nps) {
    const Property* metric = event.Find(config.metric_property);
    const Property* score = event.Find(config.score_property);
    inspires = inspires || (metric != nullptr && metric->text == "nps" && score != nullptr &&
                            score->number && *score->number >= *config.inspire_nps);
  }
  if (inspires) standing->inspired = std::max(standing->inspired, event.time);
}

bool UpdateStanding(const StandingSubject& subject, EventTime now, Standing* standing) {
  bool changed = false;
  EventTime next = EventTime::Never();
  if (subject.config.tracks_stages) {
    changed = UpdateTypes(TypesAt(subject, now, &next), now, standing);
    changed = UpdateStage(subject, now, &next, standing) || changed;
  }
  if (subject.config.tracks_tier) changed = UpdateTier(subject, now, &next, standing) || changed;
  standing->due = next;
  return changed;
}

}  // namespace heartbeatd
