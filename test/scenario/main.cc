// scenario_tests FILE...: runs rule tests, each as it is and once more with the shard thrown away
// and read again from its store after every message. Exit 1 if one fails.
#include <fmt/format.h>

#include <cstdio>

#include "daemon/rule_test.h"
#include "store/memory_store.h"
#include "unit/store_wrap.h"

namespace heartbeatd {
namespace {

// How many tests failed; 1 if the file makes no sense.
int RunFile(const char* path, bool reopen) {
  RuleTestOptions options;
  if (reopen) {
    options.new_store = [] {
      return [disk = std::shared_ptr<Store>(MakeMemoryStore())] {
        return std::make_unique<FlakyStore>(disk);
      };
    };
  }
  const Result<std::vector<RuleTestResult>> results = RunRuleTests(path, options);
  if (!results) {
    fmt::print(stderr, "{}\n", results.error().message);
    return 1;
  }
  int failed = 0;
  for (const RuleTestResult& result : *results) {
    fmt::print("{}: {}{}\n", result.failures.empty() ? "ok" : "FAILED", result.name,
               reopen ? " (read again after every message)" : "");
    for (const std::string& failure : result.failures) fmt::print("  {}\n", failure);
    failed += result.failures.empty() ? 0 : 1;
  }
  return failed;
}

}  // namespace
}  // namespace heartbeatd

int main(int argc, char** argv) {
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    failed += heartbeatd::RunFile(argv[i], false);
    failed += heartbeatd::RunFile(argv[i], true);
  }
  return failed == 0 ? 0 : 1;
}
