// Private to world.cc and judge.cc: one machine of a simulated world, with its disk and at most one
// process.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "simulation/world.h"

namespace heartbeatd::sim {

class World::Machine final : public Surroundings {
 public:
  Machine(World& world, int number) : world_(world), name_("m" + std::to_string(number)) {}

  void Start();
  // One round of the worker. The process may end in it.
  void Step();
  // As SIGTERM does.
  void Stop();
  void LoseDisk() { disk_.Lose(); }

  [[nodiscard]] bool Runs() const { return process_ != nullptr; }
  // May be stepped: not in the middle of a call.
  [[nodiscard]] bool IsFree() const { return Runs() && !busy_; }
  // librdkafka's threads run.
  void Background();
  [[nodiscard]] Disk& disk() { return disk_; }
  [[nodiscard]] const Worker* worker() const;

  void Pass(std::string_view place) override;
  bool Fails(std::string_view place) override;
  [[nodiscard]] bool Dead() const override { return dead_; }
  Random& random() override { return world_.random_; }

 private:
  struct Process;

  template <typename Call>
  void Do(const Call& call);
  void Kill();

  World& world_;
  const std::string name_;
  Disk disk_;
  std::shared_ptr<Process> process_;
  bool busy_ = false;
  bool frozen_ = false;
  bool slow_ = false;  // its disk: so that a stop has no time for everything
  bool dead_ = false;
};

}  // namespace heartbeatd::sim
