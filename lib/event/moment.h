// Moments that properties tell: `ends_at`, `due_date`, ...
#pragma once

#include <optional>

#include "base/calendar.h"
#include "base/time.h"
#include "event/event.h"

namespace heartbeatd {

// The moment that a property's value means: RFC 3339, a day as 2026-03-01 (its beginning in the
// calendar's zone), or epoch milliseconds as a number. Empty for a missing property, any other
// text, and years beyond those an event may carry.
std::optional<EventTime> MomentOf(const Property* property, const Calendar& calendar);

}  // namespace heartbeatd
