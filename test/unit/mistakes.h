// Mistakes in configurations: where the message must point, and what it must say.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "given.h"

namespace heartbeatd {

inline std::vector<std::string> ErrorsOf(const std::string& yaml) {
  const Result<Node> node = LoadYamlText(yaml, "f.yaml");
  if (!node) FAIL(node.error().message << " in:\n" << yaml);
  Findings findings;
  (void)Compile(*node, findings);
  return findings.errors();
}

// One mistake, at the place of the ^, which is not part of the text.
struct Mistake {
  std::string yaml;
  const char* says;
};

inline void CheckMistake(const Mistake& mistake) {
  CAPTURE(mistake.yaml);
  const size_t mark = mistake.yaml.find('^');
  REQUIRE(mark != std::string::npos);
  const std::string before = mistake.yaml.substr(0, mark);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t column = mark - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  const std::vector<std::string> errors = ErrorsOf(before + mistake.yaml.substr(mark + 1));
  REQUIRE(errors.size() == 1);
  CHECK_THAT(errors[0], Catch::StartsWith(fmt::format("f.yaml:{}:{}: ", line, column)));
  CHECK_THAT(errors[0], Catch::Contains(mistake.says));
}

}  // namespace heartbeatd
