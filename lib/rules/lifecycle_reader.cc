#include "rules/lifecycle_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/duration.h"
#include "rules/measure_key.h"

namespace heartbeatd {
namespace {

constexpr int64_t kPurchasesMax = 1'000'000;

std::vector<std::string> MeasureNames(const RuleSet& rules) {
  std::vector<std::string> names;
  for (const MeasureDef& def : rules.measures) names.push_back(def.name);
  return names;
}

template <typename Enum>
std::vector<std::string> NamesOf(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.emplace_back(NameOf(static_cast<Enum>(i)));
  return names;
}

// The index of the measure that `reader` names under `key`; nothing if it names none or an unknown
// one.
std::optional<size_t> NamedMeasure(MapReader& reader, std::string_view key, const RuleSet& rules) {
  const std::optional<std::string> name = reader.Text(key);
  if (!name) return {};
  for (size_t i = 0; i < rules.named_measures; ++i) {
    if (rules.measures[i].name == *name) return i;
  }
  reader.ErrorAt(key, fmt::format("there is no measure '{}'{}", *name,
                                  DidYouMean(*name, MeasureNames(rules))));
  return {};
}

// A measure of our own, under a name that no configuration can spell.
size_t AddMeasure(MeasureDef def, RuleSet* out) {
  def.key = MeasureKey(def, out->schema);
  out->measures.push_back(std::move(def));
  return out->measures.size() - 1;
}

Duration PositiveTime(MapReader& reader, std::string_view key, Duration fallback) {
  const Duration time = reader.Time(key, fallback);
  if (time <= Duration(0)) reader.ErrorAt(key, fmt::format("'{}' must be longer than 0", key));
  return time;
}

}  // namespace

class LifecycleReader::Impl {
 public:
  Impl(const Node& config, RuleSet* out, Findings& findings)
      : findings_(findings),
        out_(*out),
        life_(out->lifecycle),
        standing_(out->lifecycle.standing),
        lifecycle_(config.Find("lifecycle"), "'lifecycle'", findings),
        tiers_(config.Find("value_tiers"), "'value_tiers'", findings) {
    standing_.tracks_tier = config.Find("value_tiers") != nullptr;
  }

  void Read(std::optional<double> population_gap_days) {
    ReadActivity(population_gap_days);
    lifecycle_.Has("purchases");  // read after the rules
    ReadActiveTypes();
    ReadStages();
    lifecycle_.Finish();
    ReadTiers();
  }

  void Finish(std::vector<int32_t>* buckets_needed) {
    const std::optional<size_t> purchases = NamedMeasure(lifecycle_, "purchases", out_);
    const std::optional<size_t> money = NamedMeasure(tiers_, "measure", out_);
    if (standing_.tracks_stages) {
      standing_.purchases = purchases ? *purchases : Purchases();
      buckets_needed->resize(out_.measures.size());
      life_.tracks_terms = true;
      for (const std::string& type : acquire_types_)
        standing_.acquire_types.push_back(out_.schema.AddType(type));
      for (const std::string& type : inspire_types_)
        standing_.inspire_types.push_back(out_.schema.AddType(type));
      standing_.metric_property = out_.schema.AddProperty("metric");
      standing_.score_property = out_.schema.AddProperty("score");
      const Node* types = lifecycle_.Child("active_types");
      Widen(types, "recent_purchase", standing_.recent_purchase, buckets_needed);
      Widen(types, "loyal", standing_.loyal, buckets_needed);
    }
    if (standing_.tracks_tier) {
      standing_.money = money ? *money : Purchases();
      buckets_needed->resize(out_.measures.size());
      if (out_.measures[standing_.money].sum == MeasureDef::Sum::kNone) {
        tiers_.ErrorAt("measure", fmt::format("'value_tiers' needs 'sum' in measure '{}'",
                                              out_.measures[standing_.money].name));
      }
      standing_.money_buckets =
          Buckets(tiers_, standing_.money, standing_.money_within, buckets_needed);
    }
  }

 private:
  void ReadActivity(std::optional<double> population_gap_days) {
    if (const std::optional<size_t> named = NamedMeasure(lifecycle_, "measure", out_)) {
      out_.pulse = *named;
    } else {
      out_.pulse = AddMeasure({.name = "(every event)"}, &out_);
    }
    lifecycle_.Has("population_gap");  // read before the measures
    life_.population_gap_days = population_gap_days.value_or(
        out_.measures[out_.pulse].population_gap_days.value_or(life_.population_gap_days));
    life_.horizon = lifecycle_.Time("horizon", life_.horizon);
    static constexpr std::string_view kSteps[] = {"at_risk", "dormant", "lost"};
    for (size_t i = 0; i < 3; ++i) ReadStep(kSteps[i], i);
    for (size_t i = 1; i < 3; ++i) {
      const bool ordered =
          life_.false_alerts[i] < life_.false_alerts[i - 1] &&
          life_.new_gaps[i] > life_.new_gaps[i - 1] &&
          (!life_.after[i] || !life_.after[i - 1] || *life_.after[i] > *life_.after[i - 1]);
      if (!ordered) {
        lifecycle_.ErrorAt(
            kSteps[i],
            fmt::format("'{}' must come after '{}': fewer false alerts, more gaps, a longer time",
                        kSteps[i], kSteps[i - 1]));
      }
    }
  }

  void ReadStep(std::string_view name, size_t i) {
    MapReader step = Part(lifecycle_, name);
    life_.false_alerts[i] = step.Number("false_alerts", life_.false_alerts[i], 1e-9, 1.0);
    life_.new_gaps[i] = step.Number("new_gaps", life_.new_gaps[i], 0.01, 1000);
    life_.after[i] = step.Time("after");
    if (life_.after[i] && *life_.after[i] <= Duration(0))
      step.ErrorAt("after", "'after' must be longer than 0");
    step.Finish();
  }

  void ReadActiveTypes() {
    standing_.horizon.fill(life_.horizon);
    if (lifecycle_.Has("active_types")) standing_.tracks_stages = true;
    MapReader types = Part(lifecycle_, "active_types");
    ReadEnough(types, "recent_purchase", &standing_.recent_purchase);
    ReadEnough(types, "loyal", &standing_.loyal);
    for (const ActiveType type : {ActiveType::kSupportService, ActiveType::kProductSubscription,
                                  ActiveType::kServiceSubscription, ActiveType::kContract}) {
      MapReader part = Part(types, NameOf(type));
      Duration& horizon = standing_.horizon[static_cast<size_t>(type)];
      horizon = PositiveTime(part, "horizon", horizon);
      part.Finish();
    }
    types.Finish();
  }

  void ReadEnough(MapReader& types, std::string_view name, EnoughPurchases* enough) {
    MapReader part = Part(types, name);
    enough->at_least =
        static_cast<uint32_t>(part.Integer("at_least", enough->at_least, 1, kPurchasesMax));
    enough->within = PositiveTime(part, "within", enough->within);
    part.Finish();
  }

  void ReadStages() {
    if (lifecycle_.Has("stages")) standing_.tracks_stages = true;
    MapReader stages = Part(lifecycle_, "stages");
    standing_.dwell = stages.Time("dwell", standing_.dwell);
    MapReader acquire = Part(stages, "acquire");
    acquire_types_ = TypesOr(acquire, {"signup", "purchase", "login"});
    acquire.Finish();
    MapReader develop = Part(stages, "develop");
    standing_.develop_purchases = static_cast<uint32_t>(
        develop.Integer("purchases", standing_.develop_purchases, 0, kPurchasesMax));
    if (develop.Has("running")) {
      standing_.develop_running.reset();
      for (const size_t type :
           develop.Words("running", "term", {"subscription", "support", "contract"}))
        standing_.develop_running.set(type);
    }
    develop.Finish();
    MapReader retain = Part(stages, "retain");
    if (retain.Has("active_types")) {
      standing_.retain_types.reset();
      for (const size_t type :
           retain.Words("active_types", "active type", NamesOf<ActiveType>(kActiveTypeCount)))
        standing_.retain_types.set(type);
    }
    standing_.retain_renewed = retain.Flag("renewed", standing_.retain_renewed);
    retain.Finish();
    ReadInspire(stages);
    stages.Finish();
  }

  void ReadInspire(MapReader& stages) {
    MapReader inspire = Part(stages, "inspire");
    inspire_types_ = TypesOr(inspire, {"referral", "review", "share"});
    if (inspire.Text("nps", "") == "off") {
      standing_.inspire_nps.reset();
    } else {
      standing_.inspire_nps = inspire.Number("nps", *standing_.inspire_nps, 0, 10);
    }
    standing_.inspire_within = PositiveTime(inspire, "within", standing_.inspire_within);
    inspire.Finish();
  }

  void ReadTiers() {
    tiers_.Has("measure");  // read after the rules
    const double high = tiers_.Number("high", 1000, 0, kAmountMax);
    const double middle = tiers_.Number("middle", 200, 0, kAmountMax);
    if (high <= middle)
      tiers_.ErrorAt("high", "'high' of 'value_tiers' must be more than 'middle'");
    standing_.high_micros = MicrosOf(high);
    standing_.middle_micros = MicrosOf(middle);
    standing_.money_within = PositiveTime(tiers_, "within", standing_.money_within);
    tiers_.Finish();
  }

  MapReader Part(MapReader& of, std::string_view name) {
    return {of.Child(name), fmt::format("'{}' of {}", name, of.what()), findings_};
  }

  static std::vector<std::string> TypesOr(MapReader& reader, std::vector<std::string> fallback) {
    return reader.Has("types") ? reader.Texts("types") : std::move(fallback);
  }

  // The measure of all purchases with their money: one that is there already, or a new one.
  size_t Purchases() {
    MeasureDef wanted{.name = "(purchases)",
                      .types = {out_.schema.AddType("purchase")},
                      .sum = MeasureDef::Sum::kAmount};
    for (size_t i = 0; i < out_.measures.size(); ++i) {
      const MeasureDef& def = out_.measures[i];
      if (def.types == wanted.types && def.where.empty() && def.sum == wanted.sum &&
          def.resolution == wanted.resolution)
        return i;
    }
    return AddMeasure(std::move(wanted), &out_);
  }

  void Widen(const Node* types, std::string_view name, EnoughPurchases& enough,
             std::vector<int32_t>* buckets_needed) {
    MapReader reader(types != nullptr ? types->Find(name) : nullptr, "", findings_);
    enough.buckets = Buckets(reader, standing_.purchases, enough.within, buckets_needed);
  }

  int32_t Buckets(MapReader& reader, size_t measure, Duration within,
                  std::vector<int32_t>* buckets_needed) {
    const Duration length = LengthOf(out_.measures[measure].resolution);
    constexpr int64_t kBucketsMax = 100'000;
    if (within % length != Duration(0) || within / length > kBucketsMax) {
      reader.ErrorAt("within",
                     fmt::format("'within' {} must be a multiple of the resolution {} of measure "
                                 "'{}', and at most {} times it",
                                 FormatDuration(within), FormatDuration(length),
                                 out_.measures[measure].name, kBucketsMax));
      return 1;
    }
    const auto buckets = static_cast<int32_t>(within / length);
    int32_t& needed = (*buckets_needed)[measure];
    needed = std::max(needed, buckets);
    return buckets;
  }

  Findings& findings_;
  RuleSet& out_;
  LifecycleConfig& life_;
  StandingConfig& standing_;
  MapReader lifecycle_;
  MapReader tiers_;
  std::vector<std::string> acquire_types_;
  std::vector<std::string> inspire_types_;
};

LifecycleReader::LifecycleReader(const Node& config, RuleSet* out, Findings& findings)
    : impl_(std::make_unique<Impl>(config, out, findings)) {}
LifecycleReader::~LifecycleReader() = default;

void LifecycleReader::Read(std::optional<double> population_gap_days) {
  impl_->Read(population_gap_days);
}

void LifecycleReader::Finish(std::vector<int32_t>* buckets_needed) {
  impl_->Finish(buckets_needed);
}

CustomerMatch ReadCustomerMatch(const Node* where, const std::string& what, LifecycleConfig* life,
                                Findings& findings) {
  CustomerMatch match;
  MapReader reader(where, fmt::format("'where' of {}", what), findings);
  for (const size_t i : reader.Words("activity", "activity", NamesOf<Activity>(kActivityCount)))
    match.activity.set(i);
  for (const size_t i : reader.Words("stage", "stage", NamesOf<Stage>(kStageCount)))
    match.stage.set(i);
  for (const size_t i :
       reader.Words("active_type", "active type", NamesOf<ActiveType>(kActiveTypeCount)))
    match.active_types.set(i);
  for (const size_t i :
       reader.Words("value_tier", "value tier", NamesOf<ValueTier>(kValueTierCount)))
    match.value_tier.set(i);
  reader.Finish();
  StandingConfig& standing = life->standing;
  if (match.stage.any() || match.active_types.any()) standing.tracks_stages = true;
  if (match.value_tier.any()) standing.tracks_tier = true;
  return match;
}

}  // namespace heartbeatd
