#include "shard/evaluator.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/fault.h"
#include "base/json_text.h"

namespace heartbeatd {
namespace {

using Phase = Episode::Phase;

// Where the episode with this key is, or belongs.
std::vector<Episode>::iterator SlotOf(std::vector<Episode>& episodes, std::string_view key) {
  return std::lower_bound(episodes.begin(), episodes.end(), key,
                          [](const Episode& e, std::string_view k) { return e.key < k; });
}

// Whether a closed episode must still be remembered at `now`.
bool WorthKeeping(const Policy& policy, const Episode& episode, EventTime now) {
  if (episode.phase != Phase::kClosed) return true;
  return episode.last_fired && (policy.once || *episode.last_fired + policy.cooldown > now);
}

// Of what a state remembers as evidence: an object as JsonText writes it, without blanks around it.
bool IsObject(std::string_view text) {
  const bool bracketed = text == "{}" || (text.starts_with("{\"") && text.ends_with('}'));
  return bracketed && nlohmann::json::accept(text);
}

// Appends the rule to *order, behind those that inhibit it. There are no circles.
void AppendTo(const std::vector<Rule>& rules, size_t rule, std::vector<size_t>* order) {
  if (std::find(order->begin(), order->end(), rule) != order->end()) return;
  for (const size_t inhibitor : rules[rule].policy.inhibited_by) AppendTo(rules, inhibitor, order);
  order->push_back(rule);
}

}  // namespace

Evaluator::Evaluator(const RuleSet& rules)
    : rules_(rules),
      calendar_(rules.calendar),
      by_measure_(rules.measures.size()),
      ended_(rules.rules.size(), EventTime::Min()) {
  for (size_t i = 0; i < rules.rules.size(); ++i) {
    const Detector& detector = rules.rules[i].detector;
    const Policy& policy = rules.rules[i].policy;
    all_.set(i);
    AppendTo(rules.rules, i, &order_);
    with_where_.set(i, !policy.where.everybody());
    if (with_where_.test(i)) wheres_.push_back(i);
    inhibited_.set(i, !policy.inhibited_by.empty());
    for (const size_t inhibitor : policy.inhibited_by) inhibiting_.set(inhibitor);
    for (const int measure : detector.measures) by_measure_[static_cast<size_t>(measure)].set(i);
    on_lifecycle_.set(i, detector.on_lifecycle || with_where_.test(i));
    for (const int type : detector.types) {
      const auto known = std::find_if(by_type_.begin(), by_type_.end(),
                                      [&](const auto& t) { return t.first == type; });
      (known != by_type_.end() ? *known : by_type_.emplace_back(type, RuleMask())).second.set(i);
    }
  }
}

CustomerState Evaluator::NewState() const {
  CustomerState state;
  state.measures.resize(rules_.measures.size());
  state.rules.resize(rules_.rules.size());
  return state;
}

EventEffect Evaluator::OnEvent(std::string_view customer, const Event& event, EventTime now,
                               EventTime noticed, CustomerState* state,
                               std::vector<OutgoingAlert>* alerts) {
  EventEffect effect;
  if (rules_.dedupe_ids > 0 && !HB_MUTANT("dedupe-off")) {
    if (state->recent.Contains(event.id_hash)) {
      effect.duplicate = true;
      return effect;
    }
    const int64_t oldest_ms = (now - rules_.dedupe_within).ms();
    state->recent.Add({event.id_hash, now.ms()}, rules_.dedupe_ids, oldest_ms);
  }
  if (!rules_.lifecycle.watched) CatchUp(now, state);
  effect.late = event.time < now;
  state->first_seen = std::min(state->first_seen, event.time);
  state->last_seen = std::max(state->last_seen, event.time);

  RuleMask wanted;
  bool pulse = false;
  for (size_t i = 0; i < rules_.measures.size(); ++i) {
    const Applied applied = Apply(rules_.measures[i], calendar_, event, now, &state->measures[i]);
    if (!applied.touched) continue;
    wanted |= by_measure_[i];
    effect.beyond_retention = effect.beyond_retention || applied.beyond_retention;
    effect.distinct_saturated = effect.distinct_saturated || applied.distinct_saturated;
    pulse = pulse || (i == rules_.pulse && applied.counted);
  }
  for (const auto& [type, mask] : by_type_) {
    if (type == event.type) wanted |= mask;
  }
  const Occasion occasion{.customer = customer,
                          .event = &event,
                          .late = effect.late || event.builtin == BuiltinType::kRefund,
                          .now = now,
                          .noticed = noticed,
                          .state = state,
                          .alerts = alerts,
                          .first_alert = alerts->size(),
                          .left_out = LeftOut(*state)};
  const LifecycleConfig& life = rules_.lifecycle;
  if (life.tracks_terms)
    ApplyToTerms(life.term_fields, calendar_, event, now, &state->lifecycle.terms);
  NoteEvent(life.standing, event, &state->lifecycle.standing);
  bool moved = pulse && OnPulse(state->measures[rules_.pulse], event.time, now, &state->lifecycle);
  moved = Update(occasion) || moved;
  if (moved) wanted |= on_lifecycle_;
  ForgetEnds();
  Evaluate(occasion, wanted);
  if (pulse || rules_.lifecycle.watched) Step(occasion);
  return effect;
}

void Evaluator::OnTimer(std::string_view customer, EventTime now, EventTime noticed,
                        CustomerState* state, std::vector<OutgoingAlert>* alerts) {
  const Occasion occasion{.customer = customer,
                          .now = now,
                          .noticed = noticed,
                          .state = state,
                          .alerts = alerts,
                          .first_alert = alerts->size(),
                          .left_out = LeftOut(*state)};
  ForgetEnds();
  Step(occasion);
  Evaluate(occasion, {});
}

void Evaluator::OnRulesChanged(std::string_view customer, EventTime now, EventTime noticed,
                               CustomerState* state, std::vector<OutgoingAlert>* alerts,
                               bool unwatched) {
  // What is no longer tracked is forgotten, and what was not is made up for: no news either way.
  LifecycleState& life = state->lifecycle;
  const StandingConfig& tracked = rules_.lifecycle.standing;
  if (!rules_.lifecycle.tracks_terms) life.terms.clear();
  if (!tracked.tracks_stages) life.standing = Standing{.tier = life.standing.tier};
  if (!tracked.tracks_tier) life.standing.tier = ValueTier::kNone;
  Occasion occasion{.customer = customer,
                    .now = now,
                    .noticed = noticed,
                    .state = state,
                    .alerts = alerts,
                    .first_alert = alerts->size()};
  Update(occasion);
  if (unwatched) CatchUp(now, state);
  occasion.left_out = LeftOut(*state);
  ForgetEnds();
  Step(occasion);
  Evaluate(occasion, all_);
}

void Evaluator::ForgetEnds() {
  if (inhibiting_.any()) std::fill(ended_.begin(), ended_.end(), EventTime::Min());
}

bool Evaluator::Update(const Occasion& occasion) {
  const StandingConfig& config = rules_.lifecycle.standing;
  if (!config.tracks_stages && !config.tracks_tier) return false;
  LifecycleState& life = occasion.state->lifecycle;
  return UpdateStanding({.config = config,
                         .measure_defs = rules_.measures,
                         .measures = occasion.state->measures,
                         .calendar = calendar_,
                         .terms = life.terms},
                        occasion.now, &life.standing);
}

void Evaluator::CatchUp(EventTime now, CustomerState* state) const {
  while (OnSilence(rules_.lifecycle, state->measures[rules_.pulse], now, &state->lifecycle)) {
  }
  state->lifecycle_due = EventTime::Never();
}

void Evaluator::Step(Occasion occasion) {
  CustomerState& state = *occasion.state;
  const MeasureState& pulse = state.measures[rules_.pulse];
  const bool watched = rules_.lifecycle.watched;
  // What silence did before now comes before what happens now. Before an event it has.
  if (!watched && occasion.event == nullptr) CatchUp(occasion.now - Duration(1), &state);
  occasion.left_out = LeftOut(state);
  if (state.lifecycle.standing.due <= occasion.now && Update(occasion)) {
    Evaluate(occasion, on_lifecycle_);
    occasion.left_out = LeftOut(state);
  }
  if (!watched) {
    // After an event of now nothing is due.
    if (occasion.event == nullptr || occasion.event->time < occasion.now)
      CatchUp(occasion.now, &state);
    return;
  }
  EventTime due = NextSilence(rules_.lifecycle, pulse, state.lifecycle);
  for (; due <= occasion.now; due = NextSilence(rules_.lifecycle, pulse, state.lifecycle)) {
    StepDown(pulse, due, &state.lifecycle);
    Evaluate(occasion, on_lifecycle_);
    occasion.left_out = LeftOut(state);
  }
  state.lifecycle_due = due;
}

Evaluator::RuleMask Evaluator::LeftOut(const CustomerState& state) const {
  RuleMask left_out;
  for (const size_t i : wheres_)
    left_out.set(i, !rules_.rules[i].policy.where.Matches(state.lifecycle));
  return left_out;
}

// Evaluates the wanted rules, those whose deadline has come, and those that an inhibition that ends
// sets free.
void Evaluator::Evaluate(const Occasion& occasion, RuleMask wanted) {
  std::vector<RuleState>& states = occasion.state->rules;
  for (const size_t i : order_) {
    bool look = wanted.test(i) || states[i].due <= occasion.now;
    if (!look && inhibited_.test(i)) {
      for (const size_t inhibitor : rules_.rules[i].policy.inhibited_by)
        look = look || ended_[inhibitor] != EventTime::Min();
    }
    if (look) EvaluateRule(occasion, i);
  }
}

bool Evaluator::Fires(const CustomerState& state, size_t rule) const {
  const std::vector<Episode>& episodes = state.rules[rule].episodes;
  return std::any_of(episodes.begin(), episodes.end(),
                     [](const Episode& episode) { return episode.phase == Phase::kFiring; });
}

Circumstances Evaluator::CircumstancesOf(const Occasion& occasion, size_t rule) const {
  const Policy& policy = rules_.rules[rule].policy;
  Circumstances out;
  if (with_where_.test(rule)) {
    out.matches = policy.where.Matches(occasion.state->lifecycle);
    if (occasion.left_out.test(rule)) out.matches_since = occasion.now;
  }
  for (const size_t inhibitor : policy.inhibited_by) {
    out.inhibited = out.inhibited || Fires(*occasion.state, inhibitor);
    out.inhibited_until = std::max(out.inhibited_until, ended_[inhibitor]);
  }
  return out;
}

void Evaluator::EvaluateRule(const Occasion& occasion, size_t rule) {
  RuleState& state = occasion.state->rules[rule];
  open_.clear();
  for (const Episode& episode : state.episodes) {
    if (episode.phase != Phase::kPending && episode.phase != Phase::kFiring) continue;
    open_.push_back({.key = episode.key,
                     .firing = episode.phase == Phase::kFiring,
                     .starts_at = episode.starts_at,
                     .value = episode.value,
                     .ending = episode.clear_since.has_value()});
  }
  const Subject subject{.measure_defs = rules_.measures,
                        .measures = occasion.state->measures,
                        .calendar = calendar_,
                        .lifecycle = occasion.state->lifecycle,
                        .event = occasion.event,
                        .late = occasion.late,
                        .now = occasion.now,
                        .open = open_,
                        .quiet = state.episodes.empty(),
                        .due = state.due > occasion.now ? state.due : EventTime::Never(),
                        .memory = &state.memory};
  verdicts_.clear();
  EventTime due = rules_.rules[rule].detector.evaluate(subject, &verdicts_);
  // An episode of which the detector says nothing any more has ended.
  for (const Episode& episode : state.episodes) {
    const bool said = std::any_of(verdicts_.begin(), verdicts_.end(),
                                  [&](const Verdict& v) { return v.key == episode.key; });
    if (!said)
      verdicts_.push_back(
          {.key = episode.key, .condition = Condition::kClear, .since = occasion.now});
  }
  for (const Verdict& verdict : verdicts_)
    due = std::min(due, Judge(occasion, rule, subject, verdict));
  // Time must go on: a deadline that is not in the future would fire for ever.
  state.due = due <= occasion.now ? occasion.now + Duration(1) : due;
}

// Returns when the policy wants to look again.
EventTime Evaluator::Judge(const Occasion& occasion, size_t rule, const Subject& subject,
                           const Verdict& verdict) {
  const Rule& definition = rules_.rules[rule];
  std::vector<Episode>& episodes = occasion.state->rules[rule].episodes;
  auto at = SlotOf(episodes, verdict.key);
  const bool known = at != episodes.end() && at->key == verdict.key;
  if (!known && verdict.condition != Condition::kFiring) return EventTime::Never();
  if (!known) {
    at = episodes.insert(at, Episode{});
    at->key = verdict.key;
  }
  Episode& episode = *at;
  const EventTime opened_at = episode.starts_at;
  const bool fired = episode.phase == Phase::kFiring;
  const Decision decision =
      Advance(definition.policy, verdict, occasion.now, &episode, CircumstancesOf(occasion, rule));
  if (inhibiting_.test(rule) && fired && episode.phase != Phase::kFiring)
    ended_[rule] = std::max(ended_[rule], decision.time);
  const auto explain = [&](EventTime since) {
    Verdict as_of = verdict;
    as_of.since = since;
    evidence_.clear();
    JsonText to(&evidence_);
    to.BeginObject();
    definition.detector.explain(subject, as_of, &to);
    to.EndObject();
  };
  if (decision.action == Decision::Action::kFire) {
    // Numbers as of the crossing: kept meanwhile if it had to hold.
    evidence_.clear();
    if (!decision.crossed) evidence_ = std::exchange(episode.evidence, {});
    if (!IsObject(evidence_)) explain(episode.starts_at);
    Emit(occasion, rule, episode, AlertStatus::kFiring, decision.time, verdict.reason);
  } else if (decision.action == Decision::Action::kResolve) {
    episode.starts_at = opened_at;
    explain(occasion.now);
    Emit(occasion, rule, episode, AlertStatus::kResolved, decision.time, verdict.reason);
  } else if (decision.crossed && episode.phase == Phase::kPending) {
    explain(episode.starts_at);
    episode.evidence = evidence_;
  }
  if (!WorthKeeping(definition.policy, episode, occasion.now)) episodes.erase(at);
  return decision.next_due;
}

void Evaluator::Emit(const Occasion& occasion, size_t rule, const Episode& episode,
                     AlertStatus status, EventTime time, Reason reason) {
  AlertEdge edge{.app = rules_.app,
                 .rule = rules_.rules[rule].info,
                 .status = status,
                 .instant = episode.instant,
                 .customer = occasion.customer,
                 .key = episode.key,
                 .starts_at = episode.starts_at,
                 .time = time,
                 .reason = reason,
                 .evidence = evidence_,
                 .late_by = std::max(Duration(0), occasion.noticed - time),
                 .activity = occasion.state->lifecycle.activity,
                 .standing = &occasion.state->lifecycle.standing,
                 .first_seen = occasion.state->first_seen,
                 .last_seen = occasion.state->last_seen};
  std::string id = AlertId(edge);
  std::vector<OutgoingAlert>& alerts = *occasion.alerts;
  for (size_t i = occasion.first_alert; i < alerts.size(); ++i) {
    if (alerts[i].id != id) continue;
    ++edge.n;
    id = AlertId(edge);
    i = occasion.first_alert - 1;  // from the start: the loop adds one
  }
  std::string payload = ToCloudEvent(edge, id);
  alerts.push_back({.customer = std::string(occasion.customer),
                    .id = std::move(id),
                    .payload = std::move(payload),
                    .rule = rule,
                    .status = status,
                    .reason = reason,
                    .time = time});
}

}  // namespace heartbeatd
