#include "lifecycle/activity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace heartbeatd {
namespace {

constexpr std::array<std::string_view, kActivityCount> kNames = {
    "none", "new", "active", "at_risk", "dormant", "lost", "reactivated"};

using A = Activity;
constexpr std::array<std::pair<A, A>, 12> kLegal = {{
    {A::kNone, A::kNew},
    {A::kNew, A::kActive},
    {A::kNew, A::kAtRisk},
    {A::kActive, A::kAtRisk},
    {A::kReactivated, A::kActive},
    {A::kReactivated, A::kAtRisk},
    {A::kAtRisk, A::kNew},
    {A::kAtRisk, A::kActive},
    {A::kAtRisk, A::kDormant},
    {A::kDormant, A::kLost},
    {A::kDormant, A::kReactivated},
    {A::kLost, A::kReactivated},
}};

// The index of the threshold that ends this activity, or -1: only an event does.
int ThresholdOf(Activity activity) {
  switch (activity) {
    case A::kNew:
    case A::kActive:
    case A::kReactivated:
      return 0;
    case A::kAtRisk:
      return 1;
    case A::kDormant:
      return 2;
    default:
      return -1;
  }
}

void MoveTo(Activity to, EventTime at, const MeasureState& pulse, LifecycleState* state) {
  state->previous = state->activity;
  state->activity = to;
  state->since = at;
  state->since_day = pulse.cadence.last_day;
}

}  // namespace

std::string_view NameOf(Activity activity) { return kNames[static_cast<size_t>(activity)]; }

std::optional<Activity> ActivityOf(std::string_view name) {
  const auto it = std::find(kNames.begin(), kNames.end(), name);
  if (it == kNames.end()) return {};
  return static_cast<Activity>(it - kNames.begin());
}

bool IsLegal(Activity from, Activity to) {
  return std::find(kLegal.begin(), kLegal.end(), std::pair(from, to)) != kLegal.end();
}

bool OnPulse(const MeasureState& pulse, EventTime at, EventTime now, LifecycleState* state) {
  if (at < pulse.last) return false;
  const bool rhythm = pulse.cadence.days >= LifecycleConfig::kNewDays;
  Activity to = state->activity;
  switch (state->activity) {
    case A::kNone:
      to = A::kNew;
      break;
    case A::kNew:
    case A::kAtRisk:
      to = rhythm ? A::kActive : A::kNew;
      break;
    case A::kDormant:
    case A::kLost:
      to = A::kReactivated;
      break;
    case A::kReactivated:
      to = pulse.cadence.last_day > state->since_day ? A::kActive : A::kReactivated;
      break;
    case A::kActive:
      break;
  }
  if (to == state->activity) return false;
  const bool corrects = state->activity != A::kNone && at < state->since;
  MoveTo(to, corrects ? now : at, pulse, state);
  return true;
}

EventTime NextSilence(const LifecycleConfig& config, const MeasureState& pulse,
                      const LifecycleState& state) {
  const int step = ThresholdOf(state.activity);
  if (step < 0 || pulse.count == 0) return EventTime::Never();
  if (config.after[step]) return pulse.last + *config.after[step];
  if (pulse.cadence.days >= LifecycleConfig::kNewDays) {
    return LapseTime(pulse.cadence, config.population_gap_days,
                     LapseThreshold(config.false_alerts[step]), pulse.last, config.horizon);
  }
  const double days = config.new_gaps[step] * config.population_gap_days;
  const double ms =
      std::min(days * static_cast<double>(kMsPerDay), static_cast<double>(config.horizon.count()));
  return pulse.last + Duration(std::max<int64_t>(1, std::llround(ms)));
}

void StepDown(const MeasureState& pulse, EventTime due, LifecycleState* state) {
  static constexpr std::array<Activity, 3> kDown = {A::kAtRisk, A::kDormant, A::kLost};
  const auto step = static_cast<size_t>(ThresholdOf(state->activity));
  // Never before the step above it: with the horizon, or thresholds edited, several may fall
  // together.
  MoveTo(kDown[step], std::max(due, state->since), pulse, state);
}

bool OnSilence(const LifecycleConfig& config, const MeasureState& pulse, EventTime now,
               LifecycleState* state) {
  const EventTime due = NextSilence(config, pulse, *state);
  if (due > now) return false;
  StepDown(pulse, due, state);
  return true;
}

}  // namespace heartbeatd
