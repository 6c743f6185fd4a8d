// How tests steer the places of base/fault.h: by the environment in a process of its own
// (heartbeatd-faults), by a hook within one (the simulation).
//
//   HEARTBEATD_CRASH=NAME:N      _exit(137) at the Nth passage of a point (N from 1)
//   HEARTBEATD_STOP=NAME:N       SIGSTOP to the process itself; SIGCONT lets it go on
//   HEARTBEATD_DELAY=NAME:N:K:MS the Nth to the (N+K-1)th passage takes so much longer
//   HEARTBEATD_ERROR=NAME:N:K    the Nth to the (N+K-1)th passage of an error place fails
//   HEARTBEATD_MUTANT=NAME       this mistake is made
//   HEARTBEATD_CLOCK_SHIFT=FILE  the clocks are ahead by the milliseconds that this file holds now:
//                                the wall clock's, then the monotonic one's; none without the file
//   HEARTBEATD_FAULT_LOG=FILE    the name of each point and error place is appended at its first
//                                passage, and "crash NAME" before a crash
//
// N and K default to 1. Several may be given, with commas between them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace heartbeatd::fault {

// Called at each point and error place of this thread, instead of what the environment says; the
// answer counts at error places. May throw at points. An empty hook takes it away.
using Hook = std::function<bool(std::string_view name)>;
void SetHook(Hook hook);

// Of this thread, instead of the environment's; "" makes none.
void SetMutant(std::string name);

// While it lives, nothing of this thread is broken: for whatever knows how it ought to be.
class Undisturbed {
 public:
  Undisturbed();
  ~Undisturbed();
  Undisturbed(const Undisturbed&) = delete;
  Undisturbed& operator=(const Undisturbed&) = delete;
};

}  // namespace heartbeatd::fault
