// scenario_tests [--alerts OUT] FILE...: runs rule tests, each as it is and once more with the
// shard thrown away and read again from its store after every message. Exit 1 if one fails. OUT
// gets every alert.
#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "daemon/rule_test.h"
#include "store/memory_store.h"
#include "unit/store_wrap.h"

namespace heartbeatd {
namespace {

// How many tests failed; 1 if the file makes no sense.
int RunFile(const char* path, bool reopen, std::FILE* alerts) {
  RuleTestOptions options;
  if (alerts != nullptr)
    options.on_alert = [&](const std::string& payload) { fmt::print(alerts, "{}\n", payload); };
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
  const bool keep = argc > 2 && std::string_view(argv[1]) == "--alerts";
  std::FILE* const alerts = keep ? std::fopen(argv[2], "w") : nullptr;
  if (keep && alerts == nullptr) return 2;
  int failed = 0;
  for (int i = keep ? 3 : 1; i < argc; ++i) {
    failed += heartbeatd::RunFile(argv[i], false, alerts);
    failed += heartbeatd::RunFile(argv[i], true, nullptr);
  }
  if (keep && std::fclose(alerts) != 0) return 2;
  return failed == 0 ? 0 : 1;
}
