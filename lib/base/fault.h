// Places at which tests break the program on purpose. In all but the test builds that define
// HEARTBEATD_FAULTS (test/faulty) the macros leave nothing behind, not even the names.
//
//   HB_FAULT_POINT("commit.begin");
//       the process may end here, as if killed, or be stopped or slow
//   if (HB_FAULT_ERROR("store.write")) ...
//       the operation may fail here, as if by the outside world
//   now + HB_FAULT_CLOCK_SHIFT_MS("wall")
//       a clock ("wall", "monotonic") may jump or run fast
//   if (HB_MUTANT("meta-left-out")) ...
//       a mistake that the tests must notice
#pragma once

#ifdef HEARTBEATD_FAULTS

#include <cstdint>
#include <string_view>

namespace heartbeatd::fault {

// Thread-safe. What they do is decided outside: see test/faulty/fault.h.
void Point(std::string_view name);
bool Error(std::string_view name);
int64_t ClockShiftMs(std::string_view clock);
bool Mutant(std::string_view name);

}  // namespace heartbeatd::fault

#define HB_FAULT_POINT(name) ::heartbeatd::fault::Point(name)
#define HB_FAULT_ERROR(name) ::heartbeatd::fault::Error(name)
#define HB_FAULT_CLOCK_SHIFT_MS(clock) ::heartbeatd::fault::ClockShiftMs(clock)
#define HB_MUTANT(name) ::heartbeatd::fault::Mutant(name)

#else

#define HB_FAULT_POINT(name) static_cast<void>(0)
#define HB_FAULT_ERROR(name) false
#define HB_FAULT_CLOCK_SHIFT_MS(clock) 0
#define HB_MUTANT(name) false

#endif
