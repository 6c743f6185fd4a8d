// What a simulated process is at the mercy of, at every call to the outside. Clients and disk ask
// it before and after everything that they do.
#pragma once

#include <string_view>

#include "simulation/random.h"

namespace heartbeatd::sim {

// Ends a simulated process at once, as SIGKILL does. Thrown through production code, which catches
// nothing; after it every call of this process does nothing.
struct Killed {};

class Surroundings {
 public:
  virtual ~Surroundings() = default;
  // Time passes, others act, the process may be frozen for a while or end here (Killed).
  virtual void Pass(std::string_view place) = 0;
  // Something goes wrong here that a process lives through: a lost reply, a full disk.
  virtual bool Fails(std::string_view place) = 0;
  // The process is dead and only being taken apart.
  [[nodiscard]] virtual bool Dead() const = 0;
  virtual Random& random() = 0;
};

}  // namespace heartbeatd::sim
