#include "rules/ruleset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/id.h"
#include "rules/lifecycle_reader.h"
#include "rules/measure_key.h"
#include "rules/yaml.h"

namespace heartbeatd {
namespace {

constexpr size_t kNameBytesMax = 128;
constexpr size_t kMeasuresMax = 64;
constexpr size_t kRulesMax = 256;

double DaysOf(Duration d) {
  return static_cast<double>(d.count()) / static_cast<double>(kMsPerDay);
}

class Compiler {
 public:
  Compiler(const Node& config, Findings& findings)
      : config_(config), findings_(findings), out_(std::make_shared<RuleSet>()) {}

  std::shared_ptr<const RuleSet> Run() {
    out_->app = config_.Find("app") != nullptr ? config_.Find("app")->scalar : "heartbeatd";
    if (out_->app.empty() || out_->app.size() > kNameBytesMax) {
      findings_.Error(config_.Find("app")->place,
                      fmt::format("'app' must have 1 to {} characters", kNameBytesMax));
    }
    if (const Node* currency = config_.Find("currency")) out_->currency = currency->scalar;
    ReadZone();
    ReadDedupe();
    ReadPopulationGap();
    ReadMeasures();
    LifecycleReader lifecycle(config_, out_.get(), findings_);
    lifecycle.Read(population_gap_days_);
    ReadRules();
    lifecycle.Finish(&buckets_needed_);
    Finish();
    return out_;
  }

 private:
  void ReadZone() {
    const Node* time = config_.Find("time");
    const Node* zone = time != nullptr ? time->Find("zone") : nullptr;
    if (zone == nullptr) return;
    Result<Calendar> calendar = Calendar::Make(zone->scalar);
    if (calendar) {
      out_->calendar = std::move(*calendar);
    } else {
      findings_.Error(zone->place, calendar.error().message);
    }
  }

  void ReadDedupe() {
    MapReader reader(config_.Find("dedupe"), "'dedupe'", findings_);
    out_->dedupe_ids = static_cast<size_t>(reader.Integer("ids", 64, 0, 1024));
    out_->dedupe_within = reader.Time("within", out_->dedupe_within);
    reader.Finish();
  }

  // The preset's, for measures and life cycles that give none of their own.
  void ReadPopulationGap() {
    MapReader reader(config_.Find("lifecycle"), "'lifecycle'", findings_);
    const std::optional<Duration> gap = reader.Time("population_gap");
    if (!gap) return;
    if (*gap <= Duration(0))
      reader.ErrorAt("population_gap", "'population_gap' must be longer than 0");
    population_gap_days_ = DaysOf(*gap);
  }

  void ReadMeasures() {
    const Node* measures = config_.Find("measures");
    if (measures == nullptr) return;
    if (measures->kind != Node::Kind::kMap && measures->kind != Node::Kind::kNull) {
      findings_.Error(measures->place, "'measures' must be a map of names and definitions");
      return;
    }
    if (measures->map.size() > kMeasuresMax) {
      findings_.Error(measures->place,
                      fmt::format("there are more than {} measures", kMeasuresMax));
    }
    for (const Node::Entry& entry : measures->map) ReadMeasure(entry);
    out_->named_measures = out_->measures.size();
  }

  void ReadMeasure(const Node::Entry& entry) {
    MeasureDef def{.name = entry.key};
    MapReader reader(&entry.value, fmt::format("measure '{}'", entry.key), findings_);
    EventMatch match = ReadEventMatch(reader, out_->schema);
    def.types = std::move(match.types);
    def.where = std::move(match.where);
    if (const std::optional<std::string> sum = reader.Text("sum")) {
      def.sum = *sum == "amount" ? MeasureDef::Sum::kAmount : MeasureDef::Sum::kProperty;
      if (def.sum == MeasureDef::Sum::kProperty) def.sum_property = out_->schema.AddProperty(*sum);
    }
    if (const std::optional<std::string> distinct = reader.Text("distinct")) {
      def.distinct_property = out_->schema.AddProperty(*distinct);
    }
    def.resolution =
        static_cast<Resolution>(reader.Choice("resolution", {"1d", "1h", "1m"}).value_or(0));
    if (const std::optional<Duration> gap = reader.Time("population_gap")) {
      if (*gap <= Duration(0))
        reader.ErrorAt("population_gap", "'population_gap' must be longer than 0");
      def.population_gap_days = DaysOf(*gap);
    } else {
      def.population_gap_days = population_gap_days_;
    }
    reader.Finish();
    def.key = MeasureKey(def, out_->schema);
    out_->measures.push_back(std::move(def));
  }

  void ReadRules() {
    const Node* rules = config_.Find("rules");
    buckets_needed_.assign(out_->measures.size(), 0);
    if (rules == nullptr || rules->kind == Node::Kind::kNull) return;
    if (rules->kind != Node::Kind::kList) {
      findings_.Error(rules->place, "'rules' must be a list");
      return;
    }
    if (rules->list.size() > kRulesMax)
      findings_.Error(rules->place, fmt::format("there are more than {} rules", kRulesMax));
    for (const Node& rule : rules->list) ReadRule(rule);
    ResolveInhibitors();
  }

  void ReadRule(const Node& node) {
    const Node* id = node.Find("id");
    MapReader reader(&node, id != nullptr ? fmt::format("rule '{}'", id->scalar) : "rule",
                     findings_);
    Rule rule;
    if (reader.Required("id") != nullptr) rule.info.id = reader.Text("id", "");
    CheckId(reader, rule.info.id);
    const bool enabled = reader.Flag("enabled", true);
    rule.info.version = reader.Text("version", "1");
    // A disabled rule is checked like any other, but costs neither buckets nor state.
    LifecycleConfig untracked = out_->lifecycle;
    LifecycleConfig& life = enabled ? out_->lifecycle : untracked;
    ReadSeverityAndAction(reader, &rule.info);
    if (!rule.info.severity_by_tier.empty() || !rule.info.action_by_tier.empty())
      life.standing.tracks_tier = true;
    rule.info.labels = ReadTexts(reader, "labels");
    rule.info.annotations = ReadTexts(reader, "annotations");
    rule.key = Hash64("rule:" + rule.info.id);
    ReadPolicy(reader, &rule.policy);
    rule.policy.where = ReadCustomerMatch(reader.Child("where"), reader.what(), &life, findings_);
    ReadInhibitors(reader, rule.info.id);

    if (reader.Required("detector") == nullptr) return;
    rule.info.detector = reader.Text("detector", "");
    const DetectorType* type = FindDetector(rule.info.detector);
    if (type == nullptr) {
      std::vector<std::string> names;
      for (const DetectorType& known : AllDetectors()) names.emplace_back(known.name);
      reader.ErrorAt("detector",
                     fmt::format("there is no detector '{}'{}; there are {}", rule.info.detector,
                                 DidYouMean(rule.info.detector, names), fmt::join(names, ", ")));
      return;
    }
    std::vector<int32_t> unused = buckets_needed_;
    const size_t mentions = out_->schema.mentions().size();
    rule.detector = type->make(
        reader, DetectorContext{.measures = out_->measures,
                                .lifecycle = life,
                                .schema = out_->schema,
                                .buckets_needed = enabled ? buckets_needed_ : unused,
                                .model = [this](MapReader& fields) { return ReadModel(fields); }});
    reader.Finish();
    if (enabled) {
      out_->rules.push_back(std::move(rule));
    } else {
      out_->schema.mentions().resize(mentions);
    }
  }

  // The file is relative to the one that names it.
  std::optional<Node> ReadModel(MapReader& fields) {
    const std::optional<std::string> path = fields.Text("model");
    if (!path) return {};
    const Node& named = *fields.Child("model");
    const auto folder = std::filesystem::path(named.place.file).parent_path();
    const std::string full =
        std::filesystem::path(*path).is_absolute() ? *path : (folder / *path).string();
    Result<Node> model = LoadYamlFile(full);
    if (model && model->kind == Node::Kind::kMap) {
      models_.push_back(PrintYaml(*model));
      return std::move(*model);
    }
    fields.ErrorAt("model", fmt::format("'model' of {}: {}", fields.what(),
                                        model ? full + " holds no map" : model.error().message));
    return {};
  }

  void CheckId(MapReader& reader, const std::string& id) {
    if (id.empty()) return;
    if (id.size() > kNameBytesMax)
      reader.ErrorAt("id", fmt::format("'id' is longer than {} bytes", kNameBytesMax));
    const auto [first, is_new] = places_.emplace(id, reader.place());
    if (!is_new)
      reader.ErrorAt(
          "id", fmt::format("there is already a rule '{}', at {}", id, first->second.ToString()));
  }

  // Each one value, or a map of value tiers and `default`.
  void ReadSeverityAndAction(MapReader& reader, RuleInfo* info) {
    const auto read_severity = [](MapReader& fields, std::string_view key) {
      static constexpr std::string_view kSeverities[] = {"info", "warning", "critical"};
      const auto choice = fields.Choice(key, {"info", "warning", "critical"});
      return std::string(kSeverities[choice.value_or(1)]);
    };
    const auto read_action = [](MapReader& fields, std::string_view key) {
      return fields.Text(key, "none");
    };
    info->severity = ReadByTier(reader, "severity", read_severity, &info->severity_by_tier);
    info->action = ReadByTier(reader, "action", read_action, &info->action_by_tier);
  }

  template <typename ReadOne>
  std::string ReadByTier(MapReader& reader, std::string_view key, const ReadOne& read_one,
                         std::map<ValueTier, std::string>* by_tier) {
    const Node* node = reader.Child(key);
    if (node == nullptr || node->kind != Node::Kind::kMap) return read_one(reader, key);
    MapReader tiers(node, fmt::format("'{}' of {}", key, reader.what()), findings_);
    for (const ValueTier tier : {ValueTier::kLow, ValueTier::kMiddle, ValueTier::kHigh}) {
      if (tiers.Has(NameOf(tier))) (*by_tier)[tier] = read_one(tiers, NameOf(tier));
    }
    std::string others = read_one(tiers, "default");
    tiers.Finish();
    return others;
  }

  void ReadInhibitors(MapReader& reader, const std::string& id) {
    for (std::string& inhibitor : reader.Texts("inhibited_by"))
      inhibitors_[id].push_back(std::move(inhibitor));
    if (const Node* node = reader.Child("inhibited_by")) inhibitor_places_[id] = node->place;
  }

  // Names to indexes, once all rules are known.
  void ResolveInhibitors() {
    std::vector<std::string> known;
    for (const auto& [id, place] : places_) known.push_back(id);
    for (const auto& [id, names] : inhibitors_) {
      for (const std::string& name : names) {
        if (!places_.contains(name)) {
          findings_.Error(inhibitor_places_[id],
                          fmt::format("'inhibited_by' of rule '{}': there is no rule '{}'{}", id,
                                      name, DidYouMean(name, known)));
        }
      }
      std::set<std::string> seen;
      if (Inhibits(id, id, seen))
        findings_.Error(inhibitor_places_[id],
                        fmt::format("rule '{}' inhibits itself through 'inhibited_by'", id));
    }
    for (Rule& rule : out_->rules) {
      for (size_t i = 0; i < out_->rules.size(); ++i) {
        const std::vector<std::string>& names = inhibitors_[rule.info.id];
        if (std::find(names.begin(), names.end(), out_->rules[i].info.id) != names.end())
          rule.policy.inhibited_by.push_back(i);
      }
    }
  }

  // Whether `rule` keeps `other` silent, by itself or through others.
  bool Inhibits(const std::string& rule, const std::string& other, std::set<std::string>& seen) {
    const auto it = inhibitors_.find(other);
    if (it == inhibitors_.end() || !seen.insert(other).second) return false;
    return std::any_of(it->second.begin(), it->second.end(), [&](const std::string& inhibitor) {
      return inhibitor == rule || Inhibits(rule, inhibitor, seen);
    });
  }

  std::map<std::string, std::string> ReadTexts(MapReader& reader, std::string_view key) {
    std::map<std::string, std::string> out;
    const Node* node = reader.Child(key);
    if (node == nullptr) return out;
    if (node->kind != Node::Kind::kMap) {
      reader.ErrorAt(
          key, fmt::format("'{}' of {} must be a map of names and texts", key, reader.what()));
      return out;
    }
    for (const Node::Entry& entry : node->map) {
      if (entry.value.kind == Node::Kind::kScalar) {
        out[entry.key] = entry.value.scalar;
      } else {
        findings_.Error(entry.value.place, fmt::format("'{}' in '{}' of {} must be a single value",
                                                       entry.key, key, reader.what()));
      }
    }
    return out;
  }

  void ReadPolicy(MapReader& reader, Policy* policy) {
    policy->hold = reader.Time("hold", Duration(0));
    policy->cooldown = reader.Time("cooldown", Duration(0));
    policy->once = reader.Choice("reentry", {"every", "once"}).value_or(0) == 1;
    if (const std::optional<std::string> from = reader.Text("active_from")) {
      policy->active_from = ParseRfc3339(*from);
      if (!policy->active_from) policy->active_from = ParseRfc3339(*from + "T00:00:00Z");
      if (!policy->active_from) {
        reader.ErrorAt(
            "active_from",
            fmt::format("'{}' is no time: write 2026-03-01T00:00:00Z or 2026-03-01", *from));
      }
    }
    const Node* resolve = reader.Child("resolve");
    if (resolve == nullptr) return;
    MapReader fields(resolve, "'resolve' of " + reader.what(), findings_);
    policy->resolve_hold = fields.Time("hold", Duration(0));
    // A detector that has thresholds of its own for the end reads the rest, and reports the
    // unknown.
    const Node* detector = reader.Child("detector");
    const DetectorType* type = detector != nullptr ? FindDetector(detector->scalar) : nullptr;
    if (type != nullptr && !type->reads_resolve) fields.Finish();
  }

  void Finish() {
    LifecycleConfig& life = out_->lifecycle;
    for (const Rule& rule : out_->rules)
      life.watched = life.watched || rule.detector.on_lifecycle || !rule.policy.where.everybody();
    if (life.tracks_terms) life.term_fields = AddTermFields(out_->schema);
    for (size_t i = 0; i < out_->measures.size(); ++i)
      out_->measures[i].buckets_kept = buckets_needed_[i];
    std::vector<std::string> relevant = models_;
    for (const std::string_view key : {"lifecycle", "value_tiers", "measures", "rules"}) {
      if (const Node* node = config_.Find(key)) relevant.push_back(PrintYaml(*node));
    }
    if (const Node* time = config_.Find("time"); time != nullptr && time->Find("zone") != nullptr) {
      relevant.push_back(time->Find("zone")->scalar);
    }
    out_->hash = Hash64(fmt::format("{}", fmt::join(relevant, "\x1f")));
  }

  const Node& config_;
  Findings& findings_;
  std::shared_ptr<RuleSet> out_;
  std::vector<int32_t> buckets_needed_;
  std::vector<std::string> models_;  // the texts of the files that rules name
  std::optional<double> population_gap_days_;
  std::map<std::string, Place, std::less<>> places_;            // of rules, by id
  std::map<std::string, std::vector<std::string>> inhibitors_;  // by the id of who is inhibited
  std::map<std::string, Place> inhibitor_places_;
};

}  // namespace

std::shared_ptr<const RuleSet> Compile(const Node& config, Findings& findings) {
  return Compiler(config, findings).Run();
}

}  // namespace heartbeatd
