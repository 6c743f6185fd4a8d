// One customer under one set of rules, driven as a shard drives it, with a clock that only the test
// moves: before an event every deadline fires, at its own time.
#pragma once

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "given.h"
#include "shard/evaluator.h"

namespace heartbeatd {

// "2026-03-01T00:00:00Z rule firing reason"
inline std::string Line(const RuleSet& rules, const OutgoingAlert& alert) {
  return fmt::format("{} {} {} {}", FormatRfc3339(alert.time), rules.rules[alert.rule].info.id,
                     NameOf(alert.status), NameOf(alert.reason));
}

class OneCustomer {
 public:
  explicit OneCustomer(const std::string& yaml)
      : rules(RulesOf(yaml)), evaluator(*rules), state(evaluator.NewState()) {}

  // An event of time `at`; one before `now` is late.
  EventEffect On(EventTime at, std::string_view fields, std::string_view id = "") {
    AdvanceTo(at);
    const std::string own_id = id.empty() ? fmt::format("e{}", ++events_) : std::string(id);
    return evaluator.OnEvent("c42", EventOf(*rules, at, fields, own_id), now, now, &state, &alerts);
  }
  EventEffect Purchase(EventTime at, double amount = 10) {
    return On(at, fmt::format(R"("type":"purchase","amount":{})", amount));
  }

  // Moves the clock to `t`, never back.
  void AdvanceTo(EventTime t) {
    int fired = 0;
    while (state.Due() <= t) {
      now = std::max(now, state.Due());
      evaluator.OnTimer("c42", now, now, &state, &alerts);
      if (++fired > 100'000) FAIL("deadlines without end at " << FormatRfc3339(now));
    }
    now = std::max(now, t);
  }

  // What has been sent since the last Take().
  std::vector<std::string> Take() {
    std::vector<std::string> lines;
    taken.clear();
    for (const OutgoingAlert& alert : alerts) {
      lines.push_back(Line(*rules, alert));
      taken.push_back(nlohmann::json::parse(alert.payload));
    }
    alerts.clear();
    return lines;
  }

  std::shared_ptr<const RuleSet> rules;
  Evaluator evaluator;
  CustomerState state;
  EventTime now = EventTime::Min();
  std::vector<OutgoingAlert> alerts;
  std::vector<nlohmann::json> taken;  // payloads of the last Take()

 private:
  int events_ = 0;
};

using Lines = std::vector<std::string>;

// What only one of two lists has, in any order: "- line" the first, "+ line" the second.
inline Lines Difference(Lines a, Lines b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  Lines only_a;
  Lines only_b;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_a));
  std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(only_b));
  Lines out;
  for (const std::string& line : only_a) out.push_back("- " + line);
  for (const std::string& line : only_b) out.push_back("+ " + line);
  return out;
}

}  // namespace heartbeatd
