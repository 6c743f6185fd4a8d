// The key under which a measure's state is remembered.
#pragma once

#include <cstdint>

#include "event/event.h"
#include "measure/measure.h"

namespace heartbeatd {

// A hash of the name and of everything that changes what the measure holds: part of the state's
// format.
uint64_t MeasureKey(const MeasureDef& def, const EventSchema& schema);

}  // namespace heartbeatd
