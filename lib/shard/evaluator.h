// Applies events and timers to one customer's state and turns the rules' verdicts into alerts.
// Pure: state, event and time come in, alerts go out. The same code serves run, backtest and tests.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alert/record.h"
#include "customer/state.h"
#include "rules/ruleset.h"

namespace heartbeatd {

// An alert that is ready to be sent.
struct OutgoingAlert {
  std::string customer;
  std::string id;
  std::string payload;  // the CloudEvent
  size_t rule = 0;      // index in the rule set
  AlertStatus status = AlertStatus::kFiring;
  Reason reason = Reason::kNone;
  EventTime time;
};

// What one event did to a customer, for counting.
struct EventEffect {
  bool duplicate = false;
  bool late = false;
  bool beyond_retention = false;
  bool distinct_saturated = false;
};

// Not thread-safe (calendar cache, scratch space): one per shard. The rule set must outlive it.
class Evaluator {
 public:
  explicit Evaluator(const RuleSet& rules);

  // A state with every part in place and nothing seen.
  [[nodiscard]] CustomerState NewState() const;

  // Applies an event of this customer. `now` is the shard's clock, at or after the event's time;
  // every timer due before has fired. `noticed` is what late_by is counted to. Alerts are appended.
  EventEffect OnEvent(std::string_view customer, const Event& event, EventTime now,
                      EventTime noticed, CustomerState* state, std::vector<OutgoingAlert>* alerts);

  // Looks at the customer at `now` because a deadline has come.
  void OnTimer(std::string_view customer, EventTime now, EventTime noticed, CustomerState* state,
               std::vector<OutgoingAlert>* alerts);

  // Looks at every rule, because the rule set has changed since the state was written. `unwatched`:
  // by the rules until now nobody watched the activity: of the changes that time has made since the
  // customer was last looked at only the newest is told, as to any rule that is new.
  void OnRulesChanged(std::string_view customer, EventTime now, EventTime noticed,
                      CustomerState* state, std::vector<OutgoingAlert>* alerts,
                      bool unwatched = false);

 private:
  static constexpr size_t kRulesMax = 256;
  using RuleMask = std::bitset<kRulesMax>;

  // What happens to one customer at one time.
  struct Occasion {
    std::string_view customer;
    const Event* event = nullptr;
    bool late = false;
    EventTime now;
    EventTime noticed;
    CustomerState* state = nullptr;
    std::vector<OutgoingAlert>* alerts = nullptr;
    size_t first_alert = 0;  // of this occasion
    RuleMask left_out;       // rules whose `where` left the customer out before the newest change
  };

  // Rules whose `where` leaves the customer out.
  [[nodiscard]] RuleMask LeftOut(const CustomerState& state) const;
  void Evaluate(const Occasion& occasion, RuleMask wanted);
  void EvaluateRule(const Occasion& occasion, size_t rule);
  EventTime Judge(const Occasion& occasion, size_t rule, const Subject& subject,
                  const Verdict& verdict);
  void Emit(const Occasion& occasion, size_t rule, const Episode& episode, AlertStatus status,
            EventTime time, Reason reason);
  [[nodiscard]] Circumstances CircumstancesOf(const Occasion& occasion, size_t rule) const;
  [[nodiscard]] bool Fires(const CustomerState& state, size_t rule) const;
  void ForgetEnds();
  // Brings stage, active types and value tier up to now. True if one of them changed.
  bool Update(const Occasion& occasion);
  // Takes every step down that silence has made by `now`. Nobody hears of it, nor waits for more.
  void CatchUp(EventTime now, CustomerState* state) const;
  // Takes every step that silence and the end of what a customer has make by `now`, evaluating
  // after each.
  void Step(Occasion occasion);

  const RuleSet& rules_;
  Calendar calendar_;
  std::vector<RuleMask> by_measure_;  // rules to evaluate when a measure is touched
  RuleMask on_lifecycle_;
  std::vector<size_t> wheres_;  // the rules of with_where_
  RuleMask with_where_;
  RuleMask inhibited_;   // rules that others may keep silent
  RuleMask inhibiting_;  // those others
  std::vector<std::pair<int, RuleMask>> by_type_;
  RuleMask all_;
  std::vector<size_t> order_;  // in which rules are judged: those that inhibit before the inhibited
  // Scratch, reused.
  std::vector<Verdict> verdicts_;
  std::vector<OpenEpisode> open_;
  std::string evidence_;          // of the alert at hand
  std::vector<EventTime> ended_;  // of each inhibiting rule: when an episode ended on this occasion
};

}  // namespace heartbeatd
