// What the configuration of measures, life cycle and rules means, and how it says what is wrong
// with it.
#include "rules/ruleset.h"

#include <algorithm>
#include <map>

#include "mistakes.h"

using namespace heartbeatd;

namespace {

// One rule beside a measure with money and a population gap.
std::string WithRule(const std::string& rule) {
  return "measures:\n  m: {type: purchase, sum: amount, distinct: item, population_gap: "
         "9d}\nrules: [" +
         rule + "]\n";
}

}  // namespace

TEST_CASE("ruleset: defaults") {
  const auto rules = RulesOf(WithRule("{id: r, detector: silence, measure: m}"));
  CHECK(rules->app == "heartbeatd");
  CHECK_FALSE(rules->currency);
  CHECK(rules->dedupe_ids == 64);
  CHECK(rules->dedupe_within == Hours(48));
  CHECK(rules->lifecycle.population_gap_days == 60);
  CHECK(rules->lifecycle.false_alerts[0] == 0.05);
  CHECK(rules->lifecycle.false_alerts[1] == 0.01);
  CHECK(rules->lifecycle.false_alerts[2] == 0.002);
  CHECK(rules->lifecycle.new_gaps[0] == 2);
  CHECK(rules->lifecycle.new_gaps[1] == 3);
  CHECK(rules->lifecycle.new_gaps[2] == 6);
  CHECK(rules->measures.at(0).resolution == Resolution::kDay);
  REQUIRE(rules->rules.size() == 1);
  const Rule& rule = rules->rules[0];
  CHECK(rule.info.id == "r");
  CHECK(rule.info.severity == "warning");
  CHECK(rule.info.action == "none");
  CHECK(rule.info.version == "1");
  CHECK(rule.policy.hold == Duration(0));
  CHECK(rule.policy.resolve_hold == Duration(0));
  CHECK(rule.policy.cooldown == Duration(0));
  CHECK_FALSE(rule.policy.once);
  CHECK_FALSE(rule.policy.active_from);
  const auto nothing = RulesOf("{}");
  CHECK(nothing->rules.empty());
  CHECK(nothing->measures.size() == 1);  // the life cycle's own
}

TEST_CASE("ruleset: every field of a rule") {
  const auto rules = RulesOf(R"(
app: shop
currency: EUR
time: {zone: Europe/Berlin}
dedupe: {ids: 10, within: 1h}
measures:
  logins: {type: [login, session], population_gap: 36h, resolution: 1h}
lifecycle:
  measure: logins
  population_gap: 14d
  at_risk: {false_alerts: 0.02, new_gaps: 1.5}
  dormant: {after: 30d}
  horizon: 100d
rules:
  - id: r
    detector: silence
    measure: logins
    version: 7
    severity: critical
    action: call
    labels: {team: crm}
    annotations: {summary: "Gone."}
    hold: 2h
    cooldown: 3d
    reentry: once
    resolve: {hold: 90s}
    active_from: 2026-03-01
)");
  CHECK(rules->app == "shop");
  CHECK(rules->currency == "EUR");
  CHECK(rules->dedupe_ids == 10);
  CHECK(rules->dedupe_within == Hours(1));
  CHECK(rules->pulse == 0);
  CHECK(rules->measures[0].population_gap_days == 1.5);
  CHECK(rules->lifecycle.population_gap_days == 14);
  CHECK(rules->lifecycle.false_alerts[0] == 0.02);
  CHECK(rules->lifecycle.new_gaps[0] == 1.5);
  CHECK(rules->lifecycle.after[1] == Days(30));
  CHECK(rules->lifecycle.horizon == Days(100));
  CHECK(rules->calendar.DayStart(20000) == At("2024-10-03T22:00:00Z"));
  const Rule& rule = rules->rules.at(0);
  CHECK(rule.info.version == "7");
  CHECK(rule.info.severity == "critical");
  CHECK(rule.info.action == "call");
  CHECK(rule.info.labels == std::map<std::string, std::string>{{"team", "crm"}});
  CHECK(rule.info.annotations == std::map<std::string, std::string>{{"summary", "Gone."}});
  CHECK(rule.policy.hold == Hours(2));
  CHECK(rule.policy.cooldown == Days(3));
  CHECK(rule.policy.once);
  CHECK(rule.policy.resolve_hold == Ms(90'000));
  CHECK(rule.policy.active_from == At("2026-03-01"));
}

TEST_CASE("ruleset: active_from takes a day or a time") {
  for (const auto& [text, time] : std::map<std::string, const char*>{
           {"2026-03-01", "2026-03-01"},
           {"2026-03-01T09:30:00Z", "2026-03-01T09:30:00Z"},
           {"\"2026-03-01T09:30:00+01:00\"", "2026-03-01T08:30:00Z"}}) {
    CHECK(RulesOf(WithRule("{id: r, detector: silence, measure: m, active_from: " + text + "}"))
              ->rules[0]
              .policy.active_from == At(time));
  }
}

TEST_CASE("ruleset: a disabled rule is checked, and costs nothing") {
  const auto rules = RulesOf(
      WithRule("{id: r, enabled: false, detector: dropping, measure: m, window: 7d, ratio: 0.5}"));
  CHECK(rules->rules.empty());
  CHECK(rules->measures[0].buckets_kept == 0);
  CHECK(ErrorsOf(WithRule("{id: r, enabled: false, detector: dropping, measure: nobody, window: "
                          "7d, ratio: 0.5}"))
            .size() == 1);
}

TEST_CASE("ruleset: a measure keeps the buckets of its longest window") {
  const auto rules = RulesOf(R"(
measures: {m: {type: purchase}, n: {type: purchase, resolution: 1h}, unused: {type: purchase}}
rules:
  - {id: a, detector: dropping, measure: m, window: 7d, ratio: 0.5}
  - {id: b, detector: dropping, measure: m, window: 28d, baseline: {periods: 2}, ratio: 0.5}
  - {id: c, detector: dropping, measure: n, window: 3h, baseline: {periods: 1}, ratio: 0.5}
)");
  CHECK(rules->measures[0].buckets_kept == 28 * 3);
  CHECK(rules->measures[1].buckets_kept == 6);
  CHECK(rules->measures[2].buckets_kept == 0);
}

TEST_CASE("ruleset: one mistake each, with its place and a cure") {
  const Mistake row = GENERATE(values<Mistake>({
      {"measures: {m: ^{}}", "'type'"},
      {"measures: {m: {type: ^tick}}", "cannot be measured"},
      {"measures: {m: {type: ^erase}}", "cannot be measured"},
      {"measures: {m: {type: ^[]}}", "names no type"},
      {"measures: {m: {type: a, resolution: ^2d}}", "1d, 1h, 1m"},
      {"measures: {m: {type: a, population_gap: ^0s}}", "longer than 0"},
      {"measures: {m: {type: a, where: ^[x]}}", "map"},
      {"measures: {m: {type: a, where: {x: ^{y: 1}}}}", "a value or a list of values"},
      {"measures: {m: {type: a, where: {x: ^[]}}}", "a value or a list of values"},
      {"measures: {m: {type: a, ^were: {x: 1}}}", "did you mean 'where'"},
      {"measures: ^[a]", "map"},
      {"time: {zone: ^Europe/Berlino}", "unknown"},
      {"dedupe: {ids: ^5000}", "1024"},
      {"measures: {logins: {type: login}}\nlifecycle: {measure: ^login}", "did you mean 'logins'"},
      {"lifecycle: {dormant: ^{false_alerts: 0.05}}", "after 'at_risk'"},
      {"lifecycle: ^{at_risk: {new_gaps: 4}}", "after 'at_risk'"},
      {"lifecycle: {at_risk: {after: 9d}, dormant: ^{after: 9d}}", "after 'at_risk'"},
      {"lifecycle: {lost: {after: ^0s}}", "longer than 0"},
      {"lifecycle: {at_risk: {^days: 9}}", "unknown key 'days'"},
      {"rules: ^{a: 1}", "list"},
      {"rules: [^{detector: transition, of: activity}]", "needs 'id'"},
      {"rules: [^{id: r}]", "needs 'detector'"},
      {"rules: [{id: r, detector: ^silense}]", "did you mean 'silence'"},
      {"rules: [{id: r, detector: transition, of: activity}, {id: ^r, detector: transition, of: "
       "activity}]",
       "already a rule 'r', at f.yaml:1:9"},
      {"rules: [^{id: r, detector: transition}]", "needs 'of'"},
      {"rules: [{id: r, detector: transition, of: ^mood}]", "activity"},
      {"rules: [{id: r, detector: transition, of: activity, to: ^asleep}]",
       "'asleep' is no activity"},
      {"rules: [{id: r, detector: transition, of: activity, from: new, to: ^lost}]",
       "no customer ever moves"},
      {"rules: [{id: r, detector: transition, of: activity, from: [none, ^asleep]}]",
       "'asleep' is no activity; there are none, new, active"},
      {"rules: [{id: r, detector: transition, of: stage, to: ^retian}]",
       "'retian' is no stage (did you mean 'retain'?)"},
      {"rules: [{id: r, detector: transition, of: stage, from: acquire, to: ^reach}]",
       "no customer ever moves from acquire to reach"},
      {"rules: [{id: r, detector: transition, of: stage, to: ^none}]",
       "no customer ever moves from anywhere to none"},
      {"rules: [{id: r, detector: transition, of: active_type, from: [loyal, contract], to: "
       "^recent_purchase}]",
       "no customer ever moves from loyal, contract to recent_purchase"},
      {"rules: [{id: r, detector: transition, of: activity, where: {^tier: high}}]",
       "unknown key 'tier' in 'where' of rule 'r'"},
      {"rules: [{id: r, detector: transition, of: activity, where: {value_tier: [low, ^hig]}}]",
       "'hig' is no value tier (did you mean 'high'?)"},
      {"rules: [{id: r, detector: transition, of: activity, severity: {high: ^loud}}]",
       "info, warning, critical"},
      {"rules: [{id: r, detector: transition, of: activity, action: {^top: call}}]",
       "unknown key 'top' in 'action' of rule 'r'"},
      {"rules: [{id: r, detector: transition, of: activity, inhibited_by: ^s}]",
       "'inhibited_by' of rule 'r': there is no rule 's'"},
      {"rules: [{id: r, detector: transition, of: activity, inhibited_by: ^[r]}]",
       "rule 'r' inhibits itself"},
      {"value_tiers: {high: ^100, middle: 200}", "more than 'middle'"},
      {"value_tiers: {^top: 100}", "unknown key 'top' in 'value_tiers'"},
      {"value_tiers: {within: ^36h}",
       "'within' 36h must be a multiple of the resolution 1d of measure '(purchases)'"},
      {"measures: {m: {type: a}}\nvalue_tiers: {measure: ^m}", "needs 'sum' in measure 'm'"},
      {"value_tiers: {measure: ^m}", "there is no measure 'm'"},
      {"lifecycle: {purchases: ^m}", "there is no measure 'm'"},
      {"lifecycle: {active_types: {loyal: {at_least: ^0}}}", "from 1 to"},
      {"lifecycle: {active_types: {loyal: {within: ^90m}}}", "a multiple of the resolution"},
      {"lifecycle: {active_types: {contract: {^within: 90d}}}", "unknown key 'within'"},
      {"lifecycle: {active_types: {contract: {horizon: ^0d}}}", "longer than 0"},
      {"lifecycle: {stages: {^dwel: 3d}}", "did you mean 'dwell'"},
      {"lifecycle: {stages: {develop: {running: ^loan}}}",
       "'loan' is no term; there are subscription, support, contract"},
      {"lifecycle: {stages: {retain: {active_types: [loyal, ^loyl]}}}", "did you mean 'loyal'"},
      {"lifecycle: {stages: {inspire: {nps: ^11}}}", "from 0 to 10"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, p_value: ^0}"),
       "must be more than 0 and less than 1"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, p_value: ^1}"),
       "must be more than 0 and less than 1"},
      {WithRule("{id: r, detector: silence, measure: ^n}"), "no measure 'n'"},
      {WithRule("^{id: r, detector: silence}"), "needs 'measure'"},
      {WithRule("{id: r, detector: silence, measure: m, severity: ^high}"),
       "info, warning, critical"},
      {WithRule("{id: r, detector: silence, measure: m, hold: ^soon}"), "duration"},
      {WithRule("{id: r, detector: silence, measure: m, reentry: ^twice}"), "every, once"},
      {WithRule("{id: r, detector: silence, measure: m, active_from: ^tomorrow}"), "no time"},
      {WithRule("{id: r, detector: silence, measure: m, ^windoe: 3d}"), "unknown key 'windoe'"},
      {WithRule("{id: r, detector: silence, measure: m, labels: ^[a]}"), "map"},
      {WithRule("{id: r, detector: silence, measure: m, labels: {a: ^[b]}}"), "single value"},
      {WithRule("{id: r, detector: silence, measure: m, resolve: {^ratio: 0.5}}"),
       "unknown key 'ratio'"},
      {WithRule("{id: r, detector: silence, measure: m, after: 9d, false_alerts: ^0.05}"),
       "exclude each other"},
      {WithRule("{id: r, detector: silence, measure: m, after: ^0s}"), "longer than 0"},
      {WithRule("{id: r, detector: silence, measure: m, false_alerts: ^2}"), "from 1e-09 to 1"},
      {WithRule("{id: r, detector: silence, measure: m, minimum: {days: ^0}}"), "from 1"},
      {WithRule("{id: r, detector: ^dropping, measure: m, window: 7d}"),
       "needs 'ratio' or 'p_value'"},
      {WithRule("^{id: r, detector: dropping, measure: m, ratio: 0.5}"), "needs 'window'"},
      {WithRule("{id: r, detector: dropping, measure: m, window: ^36h, ratio: 0.5}"),
       "no multiple"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, ratio: ^1.5}"), "from 0 to 1"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, ratio: 0.5, baseline: "
                "{periods: ^0}}"),
       "from 1"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, ratio: 0.5, baseline: "
                "{^length: 3}}"),
       "unknown key 'length'"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, ratio: 0.5, compare: ^most}"),
       "mean, each, median"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, value: sum, p_value: ^0.01}"),
       "counts events"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, value: ^mean, ratio: 0.5}"),
       "count, sum, distinct, days"},
      {WithRule(
           "{id: r, detector: dropping, measure: m, window: 7d, ratio: 0.5, minimum: {^count: 3}}"),
       "unknown key 'count'"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, ratio: 0.5, resolve: "
                "{^ratios: 0.6}}"),
       "unknown key 'ratios'"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, ratio: 0.5, resolve: {ratio: "
                "^0.4}}"),
       "at least"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, p_value: 0.05, resolve: "
                "{p_value: ^0.01}}"),
       "at least"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, p_value: 0.05, resolve: "
                "{ratio: ^0.9}}"),
       "needs 'ratio'"},
      {WithRule("{id: r, detector: dropping, measure: m, window: 7d, ratio: 0.5, resolve: "
                "{p_value: ^0.9}}"),
       "needs 'p_value'"},
      {"measures: {m: {type: a}}\nrules: [{id: r, detector: dropping, measure: m, window: 7d, "
       "value: ^sum, ratio: 0.5}]",
       "needs 'sum'"},
      {"measures: {m: {type: a}}\nrules: [{id: r, detector: dropping, measure: m, window: 7d, "
       "value: ^distinct, ratio: 0.5}]",
       "needs 'distinct'"},
      {"measures: {m: {type: a}}\nrules: [{id: r, detector: silence, measure: ^m}]",
       "population_gap"},
  }));
  CheckMistake(row);
}

TEST_CASE("ruleset: every mistake is reported, not the first only") {
  const std::vector<std::string> errors = ErrorsOf(R"(measures:
  m: {type: purchase, sun: amount}
rules:
  - {id: a, detector: dropping, measure: x, window: 7d, ratio: 2}
  - {id: b, detector: silence, measure: m, after: -1d, colour: red}
)");
  CHECK(errors.size() == 6);
}

TEST_CASE(
    "ruleset: the hash changes with everything that can change a verdict, and with nothing else") {
  const std::string base = WithRule("{id: r, detector: silence, measure: m, hold: 1d}");
  const uint64_t hash = RulesOf(base)->hash;
  CHECK(RulesOf("app: other\ncurrency: EUR\n" + base)->hash == hash);
  CHECK(RulesOf(base + "# a comment\n")->hash == hash);
  CHECK(RulesOf("time: {zone: Europe/Berlin}\n" + base)->hash != hash);
  CHECK(RulesOf("lifecycle: {horizon: 100d}\n" + base)->hash != hash);
  CHECK(RulesOf("value_tiers: {}\n" + base)->hash != hash);
  CHECK(RulesOf(WithRule("{id: r, detector: silence, measure: m, hold: 2d}"))->hash != hash);
  CHECK(
      RulesOf(WithRule("{id: r, enabled: false, detector: silence, measure: m, hold: 1d}"))->hash !=
      hash);
}

TEST_CASE("ruleset: a word of a transition that has no use is worth a warning") {
  const Result<Node> node = LoadYamlText(
      "rules:\n  - {id: r, detector: transition, of: activity, from: active, to: [at_risk, lost]}\n"
      "  - {id: s, detector: transition, of: stage, from: [reach, acquire], to: [reach]}\n",
      "f.yaml");
  Findings findings;
  (void)Compile(*node, findings);
  CHECK(
      findings.errors() ==
      std::vector<std::string>{"f.yaml:3:74: rule 's': no customer ever moves from reach, acquire "
                               "to reach"});
  CHECK(
      findings.warnings() ==
      std::vector<std::string>{"f.yaml:2:77: rule 'r': 'lost' in 'to' has no use: no customer ever "
                               "makes that transition"});
}

TEST_CASE("ruleset: inhibition goes through others, but not in a circle") {
  const auto rule = [](const char* id, const char* by) {
    return fmt::format("  - {{id: {}, detector: transition, of: activity, inhibited_by: {}}}\n", id,
                       by);
  };
  CHECK(RulesOf("rules:\n" + rule("a", "[b, c]") + rule("b", "c") + rule("c", "[]"))
            ->rules[0]
            .policy.inhibited_by == std::vector<size_t>{1, 2});
  CHECK(ErrorsOf("rules:\n" + rule("a", "b") + rule("b", "c") + rule("c", "a")) ==
        std::vector<std::string>{"f.yaml:2:63: rule 'a' inhibits itself through 'inhibited_by'",
                                 "f.yaml:3:63: rule 'b' inhibits itself through 'inhibited_by'",
                                 "f.yaml:4:63: rule 'c' inhibits itself through 'inhibited_by'"});
  // A disabled rule keeps nobody silent.
  CHECK(RulesOf("rules:\n  - {id: off, enabled: false, detector: transition, of: activity}\n" +
                rule("a", "off"))
            ->rules[0]
            .policy.inhibited_by.empty());
}

TEST_CASE("ruleset: too many") {
  std::string many = "measures:\n";
  for (int i = 0; i < 65; ++i) many += fmt::format("  m{}: {{type: purchase}}\n", i);
  CHECK(ErrorsOf(many).size() == 1);
  std::string rules = "rules:\n";
  for (int i = 0; i < 257; ++i)
    rules += fmt::format("  - {{id: r{}, detector: transition, of: activity}}\n", i);
  CHECK(ErrorsOf(rules).size() == 1);
}
