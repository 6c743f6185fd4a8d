// What the configuration of measures, life cycle and rules means, and how it says what is wrong with it.
#include "rules/ruleset.h"

#include <map>

#include "given.h"

using namespace heartbeatd;

namespace {

std::vector<std::string> ErrorsOf(const std::string& yaml) {
  const Result<Node> node = LoadYamlText(yaml, "f.yaml");
  if (!node) FAIL(node.error().message << " in:\n" << yaml);
  Findings findings;
  (void)Compile(*node, findings);
  return findings.errors();
}

// The rule's fields behind `id: r`, in the third line, beside a measure with money.
std::string WithRule(const std::string& fields) {
  return "measures:\n  m: {type: purchase, sum: amount, distinct: item, population_gap: 9d}\nrules: [{id: r, " + fields + "}]\n";
}

}  // namespace

TEST_CASE("ruleset: defaults") {
  const auto rules = RulesOf(WithRule("detector: silence, measure: m"));
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
  for (const auto& [text, time] : std::map<std::string, const char*>{{"2026-03-01", "2026-03-01"},
                                                                     {"2026-03-01T09:30:00Z", "2026-03-01T09:30:00Z"},
                                                                     {"\"2026-03-01T09:30:00+01:00\"", "2026-03-01T08:30:00Z"}}) {
    CHECK(RulesOf(WithRule("detector: silence, measure: m, active_from: " + text))->rules[0].policy.active_from == At(time));
  }
}

TEST_CASE("ruleset: a disabled rule is checked, and costs nothing") {
  const auto rules = RulesOf(WithRule("enabled: false, detector: dropping, measure: m, window: 7d, ratio: 0.5"));
  CHECK(rules->rules.empty());
  CHECK(rules->measures[0].buckets_kept == 0);
  CHECK(ErrorsOf(WithRule("enabled: false, detector: dropping, measure: nobody, window: 7d, ratio: 0.5")).size() == 1);
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
  struct Row {
    std::string yaml;
    const char* place;
    const char* says;
  };
  const std::string dropping = "detector: dropping, measure: m, window: 7d";
  const Row row = GENERATE_COPY(values<Row>({
      {"measures: {m: {}}", "f.yaml:1:15", "'type'"},
      {"measures: {m: {type: tick}}", "f.yaml:1:22", "cannot be measured"},
      {"measures: {m: {type: erase}}", "f.yaml:1:22", "cannot be measured"},
      {"measures: {m: {type: []}}", "f.yaml:1:22", "names no type"},
      {"measures: {m: {type: a, resolution: 2d}}", "f.yaml:1:37", "1d, 1h, 1m"},
      {"measures: {m: {type: a, population_gap: 0s}}", "f.yaml:1:41", "longer than 0"},
      {"measures: {m: {type: a, where: [x]}}", "f.yaml:1:32", "map"},
      {"measures: {m: {type: a, where: {x: {y: 1}}}}", "f.yaml:1:36", "a value or a list of values"},
      {"measures: {m: {type: a, where: {x: []}}}", "f.yaml:1:36", "a value or a list of values"},
      {"measures: {m: {type: a, were: {x: 1}}}", "f.yaml:1:25", "did you mean 'where'"},
      {"measures: [a]", "f.yaml:1:11", "map"},
      {"time: {zone: Europe/Berlino}", "f.yaml:1:14", "unknown"},
      {"dedupe: {ids: 5000}", "f.yaml:1:15", "1024"},
      {"measures: {logins: {type: login}}\nlifecycle: {measure: login}", "f.yaml:2:22", "did you mean 'logins'"},
      {"lifecycle: {dormant: {false_alerts: 0.05}}", "f.yaml:1:22", "after 'at_risk'"},
      {"lifecycle: {at_risk: {new_gaps: 4}}", "f.yaml:1", "after 'at_risk'"},
      {"lifecycle: {at_risk: {after: 9d}, dormant: {after: 9d}}", "f.yaml:1:44", "after 'at_risk'"},
      {"lifecycle: {lost: {after: 0s}}", "f.yaml:1:27", "longer than 0"},
      {"lifecycle: {at_risk: {days: 9}}", "f.yaml:1:23", "unknown key 'days'"},
      {"rules: {a: 1}", "f.yaml:1:8", "list"},
      {"rules: [{detector: transition, of: activity}]", "f.yaml:1:9", "needs 'id'"},
      {"rules: [{id: r}]", "f.yaml:1:9", "needs 'detector'"},
      {"rules: [{id: r, detector: silense}]", "f.yaml:1:27", "did you mean 'silence'"},
      {"rules: [{id: r, detector: transition, of: activity}, {id: r, detector: transition, of: activity}]", "f.yaml:1:59", "already a rule 'r', at f.yaml:1:9"},
      {"rules: [{id: r, detector: transition}]", "f.yaml:1:9", "needs 'of'"},
      {"rules: [{id: r, detector: transition, of: mood}]", "f.yaml:1:43", "activity"},
      {"rules: [{id: r, detector: transition, of: activity, to: asleep}]", "f.yaml:1:57", "'asleep' is no activity"},
      {"rules: [{id: r, detector: transition, of: activity, from: new, to: lost}]", "f.yaml:1:68", "no customer ever moves"},
      {WithRule("detector: silence, measure: n"), "f.yaml:3:46", "no measure 'n'"},
      {WithRule("detector: silence"), "f.yaml:3:9", "needs 'measure'"},
      {WithRule("detector: silence, measure: m, severity: high"), "f.yaml:3:59", "info, warning, critical"},
      {WithRule("detector: silence, measure: m, hold: soon"), "f.yaml:3:55", "duration"},
      {WithRule("detector: silence, measure: m, reentry: twice"), "f.yaml:3:58", "every, once"},
      {WithRule("detector: silence, measure: m, active_from: tomorrow"), "f.yaml:3:62", "no time"},
      {WithRule("detector: silence, measure: m, windoe: 3d"), "f.yaml:3:49", "unknown key 'windoe'"},
      {WithRule("detector: silence, measure: m, labels: [a]"), "f.yaml:3:57", "map"},
      {WithRule("detector: silence, measure: m, labels: {a: [b]}"), "f.yaml:3:61", "single value"},
      {WithRule("detector: silence, measure: m, resolve: {ratio: 0.5}"), "f.yaml:3:59", "unknown key 'ratio'"},
      {WithRule("detector: silence, measure: m, after: 9d, false_alerts: 0.05"), "f.yaml:3:74", "exclude each other"},
      {WithRule("detector: silence, measure: m, after: 0s"), "f.yaml:3:56", "longer than 0"},
      {WithRule("detector: silence, measure: m, false_alerts: 2"), "f.yaml:3:63", "from 1e-09 to 1"},
      {WithRule("detector: silence, measure: m, minimum: {days: 0}"), "f.yaml:3:65", "from 1"},
      {WithRule(dropping), "f.yaml:3:21", "needs 'ratio' or 'p_value'"},
      {WithRule("detector: dropping, measure: m, ratio: 0.5"), "f.yaml:3:9", "needs 'window'"},
      {WithRule("detector: dropping, measure: m, window: 36h, ratio: 0.5"), "f.yaml:3:58", "no multiple"},
      {WithRule(dropping + ", ratio: 1.5"), "f.yaml:3:69", "from 0 to 1"},
      {WithRule(dropping + ", ratio: 0.5, baseline: {periods: 0}"), "f.yaml:3:94", "from 1"},
      {WithRule(dropping + ", ratio: 0.5, baseline: {length: 3}"), "f.yaml:3:85", "unknown key 'length'"},
      {WithRule(dropping + ", ratio: 0.5, compare: most"), "f.yaml:3:83", "mean, each, median"},
      {WithRule(dropping + ", value: sum, p_value: 0.01"), "f.yaml:3:83", "counts events"},
      {WithRule(dropping + ", value: mean, ratio: 0.5"), "f.yaml:3:69", "count, sum, distinct, days"},
      {WithRule(dropping + ", ratio: 0.5, minimum: {count: 3}"), "f.yaml:3:84", "unknown key 'count'"},
      {WithRule(dropping + ", ratio: 0.5, resolve: {ratios: 0.6}"), "f.yaml:3:84", "unknown key 'ratios'"},
      // An end that is easier to reach than the beginning would begin and end at every close.
      {WithRule(dropping + ", ratio: 0.5, resolve: {ratio: 0.4}"), "f.yaml:3:91", "at least"},
      {WithRule(dropping + ", p_value: 0.05, resolve: {p_value: 0.01}"), "f.yaml:3:96", "at least"},
      {WithRule(dropping + ", p_value: 0.05, resolve: {ratio: 0.9}"), "f.yaml:3:94", "needs 'ratio'"},
      {WithRule(dropping + ", ratio: 0.5, resolve: {p_value: 0.9}"), "f.yaml:3:93", "needs 'p_value'"},
      {"measures: {m: {type: a}}\nrules: [{id: r, " + dropping + ", value: sum, ratio: 0.5}]", "f.yaml:2:67", "needs 'sum'"},
      {"measures: {m: {type: a}}\nrules: [{id: r, " + dropping + ", value: distinct, ratio: 0.5}]", "f.yaml:2:67", "needs 'distinct'"},
      {"measures: {m: {type: a}}\nrules: [{id: r, detector: silence, measure: m}]", "f.yaml:2:45", "population_gap"},
  }));
  CAPTURE(row.yaml);
  const std::vector<std::string> errors = ErrorsOf(row.yaml);
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].substr(0, std::string(row.place).size()) == row.place);
  CHECK_THAT(errors[0], Catch::Contains(row.says));
}

TEST_CASE("ruleset: every mistake is reported, not the first only") {
  const std::vector<std::string> errors = ErrorsOf(R"(measures:
  m: {type: purchase, sun: amount}
rules:
  - {id: a, detector: dropping, measure: x, window: 7d, ratio: 2}
  - {id: b, detector: silence, measure: m, after: -1d, colour: red}
)");
  CHECK(errors.size() == 5);
}

TEST_CASE("ruleset: the hash changes with everything that can change a verdict, and with nothing else") {
  const std::string base = WithRule("detector: silence, measure: m, hold: 1d");
  const uint64_t hash = RulesOf(base)->hash;
  CHECK(RulesOf("app: other\ncurrency: EUR\n" + base)->hash == hash);
  CHECK(RulesOf(base + "# a comment\n")->hash == hash);
  CHECK(RulesOf("time: {zone: Europe/Berlin}\n" + base)->hash != hash);
  CHECK(RulesOf("lifecycle: {horizon: 100d}\n" + base)->hash != hash);
  CHECK(RulesOf(WithRule("detector: silence, measure: m, hold: 2d"))->hash != hash);
  CHECK(RulesOf(WithRule("enabled: false, detector: silence, measure: m, hold: 1d"))->hash != hash);
}

TEST_CASE("ruleset: too many") {
  std::string many = "measures:\n";
  for (int i = 0; i < 65; ++i) many += fmt::format("  m{}: {{type: purchase}}\n", i);
  CHECK(ErrorsOf(many).size() == 1);
  std::string rules = "rules:\n";
  for (int i = 0; i < 257; ++i) rules += fmt::format("  - {{id: r{}, detector: transition, of: activity}}\n", i);
  CHECK(ErrorsOf(rules).size() == 1);
}
