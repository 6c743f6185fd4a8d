// What the configuration says of the messages' shape: `format`, `fields` and `types` of `input`.
#pragma once

#include "base/node.h"
#include "event/format.h"

namespace heartbeatd {

// Reads those keys of `input`. Mistakes go to its findings.
EventFormat ReadEventFormat(MapReader& input);

}  // namespace heartbeatd
