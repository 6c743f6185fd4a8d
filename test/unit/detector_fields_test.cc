// The fields of the detectors: what each mistake in them is answered with, and where. Those of
// `dropping`, `silence` and `transition` are in ruleset_test.cc.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "mistakes.h"
#include "one_customer.h"

using namespace heartbeatd;

namespace {

// One rule beside two measures: m of money and items by day, n of nothing but events by the hour.
std::string With(const std::string& rule) {
  return "measures:\n  m: {type: purchase, sum: amount, distinct: item}\n  n: {type: login, "
         "resolution: 1h}\nrules:\n  - " +
         rule + "\n";
}

constexpr const char* kModel = "bg_nbd: {r: 1, alpha: 1, a: 1, b: 1, unit: 7d}";

}  // namespace

TEST_CASE("increasing: mistakes") {
  const std::string head = "{id: r, detector: increasing, measure: m, window: 7d, ";
  CheckMistake({With("{id: r, detector: ^increasing, measure: m, window: 7d}"), "'ratio'"});
  CheckMistake({With(head + "ratio: ^0.9}"), "from 1 to 1000"});
  CheckMistake({With(head + "p_value: ^0}"), "more than 0 and less than 1"});
  CheckMistake({With(head + "p_value: ^1}"), "more than 0 and less than 1"});
  CheckMistake({With(head + "value: sum, p_value: ^0.1}"), "counts events"});
  CheckMistake({With(head + "ratio: 1.5, resolve: {ratio: ^1.6}}"), "at most the rule's own 1.5"});
  CheckMistake({With(head + "p_value: 0.1, resolve: {p_value: ^0.05}}"), "at least"});
  CheckMistake({With("{id: r, detector: increasing, measure: n, window: ^90m, ratio: 2}"),
                "window 90m is no multiple of the measure's resolution 1h"});
}

TEST_CASE("threshold: mistakes") {
  const std::string head = "{id: r, detector: threshold, measure: m, window: 7d";
  CheckMistake(
      {With("{id: r, detector: ^threshold, measure: m, window: 7d}"), "either 'below' or"});
  CheckMistake({With(head + ", below: 1, above: ^2}"), "and not both"});
  CheckMistake({With(head + ", below: ^few}"), "number"});
  CheckMistake({With(head + ", below: 3, resolve: {below: ^2}}"), "at least the rule's own 3"});
  CheckMistake({With(head + ", above: 3, resolve: {above: ^4}}"), "at most the rule's own 3"});
  CheckMistake({With(head + ", above: 3, resolve: {^below: 4}}"), "unknown key 'below'"});
  CheckMistake({With(head + ", above: 3, ^baseline: {}}"), "unknown key 'baseline'"});
  CheckMistake({With("^{id: r, detector: threshold, measure: m, above: 3}"), "needs 'window'"});
  CheckMistake({With("{id: r, detector: threshold, measure: m, window: ^36h, above: 3}"),
                "window 36h is no multiple of the measure's resolution 1d"});
  CheckMistake({With("{id: r, detector: threshold, measure: n, window: 1d, value: ^sum, above: 3}"),
                "needs 'sum' in measure 'n'"});
}

TEST_CASE("follow_up: mistakes") {
  const std::string all = "after: {type: cart}, expect: {type: purchase}, within: 1h";
  const auto with = [](const std::string& fields) {
    return With("{id: r, detector: follow_up, " + fields + "}");
  };
  CheckMistake({With("^{id: r, detector: follow_up, after: {type: a}, expect: {type: b}}"),
                "needs 'within'"});
  CheckMistake(
      {With("^{id: r, detector: follow_up, after: {type: a}, within: 1h}"), "needs 'expect'"});
  CheckMistake({with("after: ^{where: {a: 1}}, expect: {type: b}, within: 1h"), "needs 'type'"});
  CheckMistake({with("after: ^cart, expect: {type: b}, within: 1h"), "map"});
  CheckMistake({with("after: {type: ^tick}, expect: {type: b}, within: 1h"), "customer's doing"});
  CheckMistake({with("after: {type: a, ^whree: {}}, expect: {type: b}, within: 1h"),
                "did you mean 'where'"});
  CheckMistake({with("after: {type: a, where: {k: ^{}}}, expect: {type: b}, within: 1h"),
                "a value or a list of values"});
  CheckMistake({with("after: {type: a}, expect: {type: b}, within: ^0s"), "longer than 0"});
  CheckMistake({with("after: {type: a}, expect: {type: b}, within: ^soon"), "duration"});
  CheckMistake({with(all + ", forget_after: ^0s"), "longer than 0"});
  CheckMistake({with(all + ", restart: ^maybe"), "true or false"});
  CheckMistake({with("after: {type: a, first: true}, expect: {type: b}, within: 1h, correlate: ^k"),
                "exclude each other"});
  CheckMistake({with(all + ", ^measure: m"), "unknown key 'measure'"});
}

TEST_CASE("deadline: mistakes") {
  const auto with = [](const std::string& fields) {
    return With("{id: r, detector: deadline, " + fields + "}");
  };
  CheckMistake({With("^{id: r, detector: deadline, before: 7d}"), "needs 'of'"});
  CheckMistake({with("of: ^subscribtion"), "subscription, support or contract, or {type"});
  CheckMistake({with("of: ^[subscription]"), "subscription, support or contract, or {type"});
  CheckMistake({with("of: ^{type: booking}"), "needs 'property'"});
  CheckMistake({with("of: ^{property: due}"), "needs 'type'"});
  CheckMistake({with("of: {type: a, property: b, ^proprty: c}"), "unknown key 'proprty'"});
  CheckMistake(
      {with("of: {type: a, property: b, cancelled_by: ^{where: {a: 1}}}"), "needs 'type'"});
  CheckMistake({with("of: contract, before: ^[7d, later]"), "before"});
  CheckMistake({with("of: contract, before: ^[7d, 1w]"), "names a time twice"});
  CheckMistake({with("of: contract, forget_after: ^0s"), "longer than 0"});
}

TEST_CASE("score: mistakes") {
  CheckMistake({With("{id: r, detector: ^score, metric: nps}"), "needs 'below' or 'fall'"});
  CheckMistake({With("^{id: r, detector: score, below: 7}"), "needs 'metric'"});
  CheckMistake({With("{id: r, detector: score, metric: ^npm, below: 7}"), "nps, ces, csat"});
  CheckMistake({With("{id: r, detector: score, metric: nps, fall: ^0}"), "from 1e-06 to 100"});
  CheckMistake({With("{id: r, detector: score, metric: nps, below: ^101}"), "from 1e-06 to 100"});
}

TEST_CASE("encourage: mistakes") {
  const auto with = [](const std::string& engaged, const std::string& behaviours) {
    return With("{id: r, detector: encourage, engaged: " + engaged + ", behaviours: " + behaviours +
                "}");
  };
  CheckMistake({With("^{id: r, detector: encourage, behaviours: [{name: a, measure: m}]}"),
                "needs 'engaged'"});
  CheckMistake(
      {With("^{id: r, detector: encourage, engaged: {measure: m}}"), "needs 'behaviours'"});
  CheckMistake({with("{measure: m}", "^[]"), "a list of 1 to 32"});
  CheckMistake({with("{measure: ^o}", "[{name: a, measure: m}]"), "no measure 'o'"});
  CheckMistake({with("{measure: m}", "[^{measure: m}]"), "needs 'name'"});
  CheckMistake({with("{measure: m}", "[{name: a, measure: m}, {name: ^a, measure: n}]"),
                "already a behaviour 'a'"});
  CheckMistake({with("{measure: m}", "[{name: a, measure: n, within: ^90m}]"),
                "within 90m is no multiple of the measure's resolution 1h"});
  CheckMistake({with("{measure: m}", "[{name: a, measure: n, value: ^distinct}]"),
                "needs 'distinct' in measure 'n'"});
  CheckMistake(
      {with("{measure: m}", "[{name: a, measure: n, ^window: 1d}]"), "unknown key 'window'"});
  CheckMistake({with("{measure: m, at_least: ^0}", "[{name: a, measure: m}]"), "from 1e-06"});
  CheckMistake({with("{measure: m}", "[{name: a, measure: m, weight: ^-1}]"), "from 0"});
}

TEST_CASE("alive: mistakes") {
  const std::string model = kModel;
  const auto with = [](const std::string& fields) {
    return With("{id: r, detector: alive, measure: m, " + fields + "}");
  };
  CheckMistake({With("{id: r, detector: ^alive, measure: m, below: 0.3}"), "a fitted model"});
  CheckMistake({With("^{id: r, detector: alive, measure: m, " + model + "}"), "needs 'below'"});
  CheckMistake({with("below: ^1, " + model), "more than 0 and less than 1"});
  CheckMistake({with("below: 0.3, bg_nbd: ^{alpha: 1, a: 1, b: 1, unit: 7d}"), "needs 'r'"});
  CheckMistake({with("below: 0.3, bg_nbd: {r: ^0, alpha: 1, a: 1, b: 1, unit: 7d}"), "from 1e-09"});
  CheckMistake({with("below: 0.3, bg_nbd: ^{r: 1, alpha: 1, a: 1, b: 1}"), "needs 'unit'"});
  CheckMistake({with("below: 0.3, bg_nbd: {r: 1, alpha: 1, a: 1, b: 1, unit: 7d, ^s: 1}"),
                "unknown key 's'"});
  CheckMistake(
      {with("below: 0.3, gamma_gamma: {p: 6, q: ^1, gamma: 15}, " + model), "must be more than 1"});
  CheckMistake({With("{id: r, detector: alive, measure: ^n, below: 0.3, gamma_gamma: {p: 6, q: 3, "
                     "gamma: 15}, " +
                     model + "}"),
                "needs 'sum' in measure 'n'"});
  CheckMistake({with("below: 0.3, minimum: {repeats: ^0}, " + model), "from 1"});
  CheckMistake({with("below: 0.3, discount: ^-1, " + model), "from 0"});
  CheckMistake({with("below: 0.3, horizon: ^0s, " + model), "longer than 0"});
  CheckMistake({with("below: 0.3, model: ^/nowhere/model.yaml"), "/nowhere/model.yaml"});
}

TEST_CASE("model files: what silence and alive take from them, and in which order") {
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("heartbeatd-model-{}", TestSeed());
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "model.yaml").string();
  const auto write = [&](std::string_view text) { std::ofstream(path) << text; };
  const auto gap_of = [&](std::string_view fields, std::string_view measure) {
    OneCustomer customer(fmt::format(
        "lifecycle: {{population_gap: 40d}}\nmeasures: {{m: {}}}\nrules:\n  - {{id: r, detector: "
        "silence, measure: m{}}}\n",
        measure, fields));
    for (int i = 0; i < 4; ++i) customer.Purchase(At("2026-01-05") + Days(7 * i));
    customer.AdvanceTo(At("2030-01-01"));
    REQUIRE(customer.Take().size() == 1);
    // m = (2 m0 + S)/(2 + x), with x = 2.71 and S = 18.97.
    const double m = customer.taken[0]["data"]["expected_gap_days"].get<double>();
    return std::round((m * 4.71 - 18.97) / 2 * 100) / 100;
  };
  write("population_gap: 30d\nbg_nbd: {r: 1, alpha: 1, a: 1, b: 1, unit: 7d}\n");
  const std::string model = ", model: " + path;
  CHECK(gap_of(model + ", population_gap: 10d", "{type: purchase, population_gap: 20d}") == 10);
  CHECK(gap_of(model, "{type: purchase, population_gap: 20d}") == 30);
  CHECK(gap_of("", "{type: purchase, population_gap: 20d}") == 20);
  CHECK(gap_of("", "{type: purchase}") == 40);

  // What the file says is part of what the rules mean.
  const std::string alive =
      "measures: {m: {type: purchase}}\nrules:\n  - {id: r, detector: alive, measure: m, below: "
      "0.3" +
      model + "}\n";
  const uint64_t hash = RulesOf(alive)->hash;
  CHECK(RulesOf(alive)->hash == hash);
  write("bg_nbd: {r: 2, alpha: 1, a: 1, b: 1, unit: 7d}\n");
  CHECK(RulesOf(alive)->hash != hash);

  // Mistakes in it are named at their own place.
  write("bg_nbd: {r: 2, alpha: 1, a: 1, unit: 7d}\n");
  CHECK_THAT(ErrorsOf(alive).at(0), Catch::StartsWith(path + ":1:9: "));
  write("bg_ndb: {r: 2, alpha: 1, a: 1, b: 1, unit: 7d}\n");
  CHECK_THAT(ErrorsOf(alive).at(0), Catch::Contains("needs the parameters of a fitted model"));
  CHECK_THAT(ErrorsOf(alive).at(1), Catch::Contains("did you mean 'bg_nbd'"));
  write("[1, 2]\n");
  CHECK_THAT(ErrorsOf(alive).at(0), Catch::Contains("holds no map"));
  const std::string silence =
      "measures: {m: {type: purchase}}\nrules:\n  - {id: r, detector: silence, measure: m" + model +
      "}\n";
  write("bg_nbd: {r: 2, alpha: 1, a: 1, b: 1, unit: 7d}\n");
  CHECK_THAT(ErrorsOf(silence).at(0), Catch::Contains("has no 'population_gap'"));
  std::filesystem::remove_all(folder);
}
