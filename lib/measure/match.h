// Which events are meant: their types, and conditions on their properties, as configurations write
// them for measures and for rules that wait for an event.
#pragma once

#include <string>
#include <vector>

#include "base/node.h"
#include "event/event.h"

namespace heartbeatd {

// One property's condition: its canonical text is one of `any_of`. A missing property never
// matches.
struct PropertyMatch {
  int property = EventSchema::kUnknown;
  std::vector<std::string> any_of;
};

bool Matches(const std::vector<PropertyMatch>& where, const Event& event);

// Constant after configuration.
struct EventMatch {
  std::vector<int> types;  // numbers in the schema
  std::vector<PropertyMatch> where;

  [[nodiscard]] bool Matches(const Event& event) const;
};

// Reads `type` (one or a list, required) and `where` (properties, ANDed; a list means any of). The
// names are added to the schema. Mistakes go to the reader's findings.
EventMatch ReadEventMatch(MapReader& fields, EventSchema& schema);

}  // namespace heartbeatd
