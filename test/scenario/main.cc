// scenario_tests FILE...: runs rule tests; exit 1 if one fails.
#include <fmt/format.h>

#include <cstdio>

#include "daemon/rule_test.h"

int main(int argc, char** argv) {
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    const heartbeatd::Result<heartbeatd::RuleTestReport> report = heartbeatd::RunRuleTest(argv[i]);
    if (!report) {
      fmt::print(stderr, "{}\n", report.error().message);
      ++failed;
      continue;
    }
    for (const std::string& failure : report->failures) fmt::print(stderr, "{}\n", failure);
    failed += report->failures.empty() ? 0 : 1;
    fmt::print("{}: {}\n", report->failures.empty() ? "ok" : "FAILED", report->name);
  }
  return failed == 0 ? 0 : 1;
}
