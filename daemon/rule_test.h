// A rule test: a YAML file with a configuration, events, the passing of time, and the alerts that
// must come. Run against the production shard with a manual clock.
//
//   name: a customer who buys weekly stops
//   config: {measures: {...}, rules: [...]}          # as in heartbeatd.yaml
//   steps:
//     - event: {customer: c1, type: purchase, at: 2026-01-01, every: 7d, times: 10, amount: 20}
//     - raw: 'not json'                              # a message as it comes
//     - advance_to: 2026-06-01T00:00:00Z
//     - expect:                                      # exactly these since the last expect, in any
//     order;
//         - {customer: c1, rule: gone-quiet, status: firing, time: 2026-..., reason: ..., ratio:
//         0.5}
//     - expect: []                                   # nothing
//     - expect_refused: [not_json]                   # dead letters since the last expect_refused
//
// In `expect` customer, time and id are the alert's own; any other key is a path into its data, as
// `observed.count`. Only what is named is compared.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace heartbeatd {

struct RuleTestReport {
  std::string name;
  std::vector<std::string> failures;  // file:line:column: what was expected and what came
};

// Error: the file cannot be read or makes no sense.
Result<RuleTestReport> RunRuleTest(const std::string& path);

}  // namespace heartbeatd
