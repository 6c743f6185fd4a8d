// Small helpers for the numbers that an alert explains itself with.
#pragma once

#include <cstdint>

namespace heartbeatd {

// Cut to six significant digits: enough for a person, and free of the last bits that differ between
// compilers, so that the payload is the same everywhere.
double Rounded(double value);

// Micro-units as units, for JSON.
double Units(int64_t micros);

}  // namespace heartbeatd
