#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "detect/detector.h"

namespace heartbeatd {
namespace {

constexpr std::array kDetectors = {
    DetectorType{"alive", &MakeAlive},
    DetectorType{"deadline", &MakeDeadline},
    DetectorType{"dropping", &MakeDropping, /*reads_resolve=*/true},
    DetectorType{"encourage", &MakeEncourage},
    DetectorType{"follow_up", &MakeFollowUp},
    DetectorType{"increasing", &MakeIncreasing, /*reads_resolve=*/true},
    DetectorType{"score", &MakeScore},
    DetectorType{"silence", &MakeSilence},
    DetectorType{"threshold", &MakeThreshold, /*reads_resolve=*/true},
    DetectorType{"transition", &MakeTransition},
};

}  // namespace

std::span<const DetectorType> AllDetectors() { return kDetectors; }

const DetectorType* FindDetector(std::string_view name) {
  const auto it = std::find_if(kDetectors.begin(), kDetectors.end(),
                               [&](const auto& d) { return d.name == name; });
  return it == kDetectors.end() ? nullptr : &*it;
}

int DetectorContext::Measure(MapReader& fields) const {
  if (fields.Required("measure") == nullptr) return -1;
  const std::optional<std::string> name = fields.Text("measure");
  if (!name) return -1;
  std::vector<std::string> known;
  for (size_t i = 0; i < measures.size(); ++i) {
    if (measures[i].name == *name) return static_cast<int>(i);
    known.push_back(measures[i].name);
  }
  fields.ErrorAt("measure",
                 fmt::format("there is no measure '{}'{}", *name, DidYouMean(*name, known)));
  return -1;
}

}  // namespace heartbeatd
