#include "fuzz/fuzz.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/common.h>
#if GOOGLE_PROTOBUF_VERSION < 3022000
#include <google/protobuf/stubs/logging.h>
#endif
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "rules/yaml.h"

namespace heartbeatd::fuzz {
namespace {

// Names and definitions of measures and ids of rules are in the keys of the corpus' states: whoever
// changes them makes those seeds anew (docs/testing.md).
constexpr const char* kRules = R"(
currency: USD
time: {zone: Europe/Berlin}
dedupe: {ids: 8, within: 48h}
measures:
  purchases: {type: purchase, sum: amount, population_gap: 20d}
  logins: {type: [login, session], resolution: 1h, population_gap: 5d}
  categories: {type: purchase, distinct: category, where: {channel: [app, web]}}
  minutes: {type: session, sum: minutes, resolution: 1m}
lifecycle: {measure: purchases}
value_tiers: {high: 1000, middle: 20}
rules:
  - {id: fewer, detector: dropping, measure: purchases, window: 7d, baseline: {periods: 3}, ratio: 0.5, p_value: 0.2,
     minimum: {baseline_count: 3, observed_for: 14d}, cooldown: 5d}
  - {id: less, detector: dropping, measure: purchases, value: sum, window: 14d, baseline: {periods: 2}, compare: median,
     ratio: 0.4, minimum: {baseline_count: 2}, hold: 2d, resolve: {hold: 1d}}
  - {id: narrower, detector: dropping, measure: categories, value: distinct, window: 3d, ratio: 0.9, compare: each,
     minimum: {baseline_count: 2}, reentry: once}
  - {id: hours, detector: dropping, measure: logins, window: 24h, baseline: {periods: 2}, ratio: 0.5,
     minimum: {baseline_count: 4}}
  - {id: minutes, detector: dropping, measure: minutes, value: sum, window: 60m, ratio: 0.5, minimum: {baseline_count: 2}}
  - {id: quiet, detector: silence, measure: logins, minimum: {days: 2}}
  - {id: gone, detector: silence, measure: purchases, after: 30d, hold: 1h}
  - {id: life, detector: transition, of: activity}
  - {id: stages, detector: transition, of: stage}
  - {id: types, detector: transition, of: active_type}
  - {id: more, detector: increasing, measure: purchases, window: 7d, baseline: {periods: 2}, ratio: 1.5,
     minimum: {baseline_count: 2, observed_for: 7d}, inhibited_by: [fewer]}
  - {id: third, detector: threshold, measure: purchases, window: 30d, above: 3, where: {value_tier: [middle, high]}}
  - {id: cart, detector: follow_up, after: {type: cart_updated}, expect: {type: purchase}, within: 1h, correlate: cart_id}
  - {id: ends, detector: deadline, of: subscription, before: [30d, 7d, 0d]}
  - {id: trip, detector: deadline, before: [2d],
     of: {type: trip_booked, property: departure, correlate: booking, cancelled_by: {type: trip_cancelled}}}
  - {id: detractor, detector: score, metric: nps, below: 7, fall: 3}
  - {id: could, detector: encourage, engaged: {measure: logins, value: days, at_least: 2, within: 28d},
     behaviours: [{name: web, measure: categories, at_least: 3, within: 28d, weight: 5}]}
  - {id: left, detector: alive, measure: purchases, below: 0.3,
     bg_nbd: {r: 0.243, alpha: 4.414, a: 0.793, b: 2.426, unit: 7d}, gamma_gamma: {p: 6.25, q: 3.74, gamma: 15.44}}
)";

// Warnings about bad input are what most runs would consist of.
[[maybe_unused]] const bool kQuiet = [] {
  spdlog::set_level(spdlog::level::off);
#if GOOGLE_PROTOBUF_VERSION < 3022000
  google::protobuf::SetLogHandler(nullptr);
#endif
  return true;
}();

}  // namespace

void Require(bool holds, std::string_view what, std::source_location where) {
  if (holds) return;
  fmt::print(stderr, "{}:{}: broken: {}\n", where.file_name(), where.line(), what);
  std::abort();
}

uint64_t Input::Number(size_t bytes) {
  uint64_t value = 0;
  const std::string_view text = Text(bytes);
  for (size_t i = 0; i < text.size(); ++i)
    value |= uint64_t{static_cast<uint8_t>(text[i])} << (8 * i);
  return value;
}

std::string_view Input::Text(size_t size) {
  const std::string_view text = rest_.substr(0, std::min(size, rest_.size()));
  rest_.remove_prefix(text.size());
  return text;
}

const std::shared_ptr<const RuleSet>& Rules() {
  static const std::shared_ptr<const RuleSet> kCompiled = [] {
    const Result<Node> node = LoadYamlText(kRules, "rules.yaml");
    Require(node.has_value(), node ? "" : node.error().message);
    Findings findings;
    std::shared_ptr<const RuleSet> compiled = Compile(*node, findings);
    Require(findings.ok(), findings.ok() ? "" : findings.errors().front());
    return compiled;
  }();
  return kCompiled;
}

}  // namespace heartbeatd::fuzz
