// Rule tests: a YAML file with rules, events, the passing of time, and the alerts that must come.
// They run against the same shard code as the daemon, on a clock that only the file moves.
//
//   config_files: [../../config/heartbeatd.yaml]  # relative to this file; may be left out
//   config:                                       # laid over them: what heartbeatd.yaml may say
//     measures: {purchases: {type: purchase}}
//     rules: [{id: quiet, detector: silence, measure: purchases, after: 30d}]
//   tests:
//     - name: a customer who stops buying is noticed after 30 days
//       rules: [quiet]        # whose alerts are looked at; default: all
//       customer: anna        # of events that name nobody; default: c1
//       steps:
//         - event: {type: purchase, at: 2026-01-01, amount: 20, properties: {channel: app}}
//         - event: {type: purchase, at: +7d, every: 7d, times: 3}
//         - advance: 29d      # or advance_to: 2026-02-20T09:00:00Z
//         - expect: []
//         - advance: 1d
//         - expect:
//             - {rule: quiet, status: firing, time: +0s, observed: {silent_days: 30}}
//
// A file with a single test may have `name`, `rules`, `customer` and `steps` at its top.
//
// Times: RFC 3339; or a day, which begins at midnight in `time.zone`; or +7d, counted from where
// the clock of the test stands. An event moves the clock to its time; one from before comes late.
// Other fields of events: id (default: a new one each), customer, currency, and `arrives`, the wall
// clock's time when it comes in, for events from the future. The message is in the format of
// `input`. Other steps: `raw: TEXT`, a message as it comes, in the same step perhaps with `headers:
// {NAME: VALUE}`; `expect_refused: [REASON, ...]`, the dead letters; `expect_customers: N`, how
// many are remembered.
//
// `expect` is the list of all alerts since the last one, in any order, and only the fields that it
// names are compared: id, time and customer, those of the alert's data, and those of its
// customer (stage, activity, ...). Alerts and dead letters that no step expects are failures
// too.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "store/store.h"

namespace heartbeatd {

struct RuleTestResult {
  std::string name;
  // Empty: passed. Each "file:line:column: what", of several lines where alerts are compared.
  std::vector<std::string> failures;
};

struct RuleTestOptions {
  // Opens the store of a test, again and again with what it holds.
  using OpenStore = std::function<std::unique_ptr<Store>()>;
  // Makes a store for each test. If set, the shard is thrown away and read again from there after
  // every message and every advance; by default it stays, in memory.
  std::function<OpenStore()> new_store;
  // Called with each alert, whatever the tests expect.
  std::function<void(const std::string& payload)> on_alert;
};

// Runs all tests of the file. Error: it cannot be read, or makes no sense; all mistakes, one a
// line.
Result<std::vector<RuleTestResult>> RunRuleTests(const std::string& path,
                                                 const RuleTestOptions& options = {});

}  // namespace heartbeatd
