// The follow_up detector: one event asks for another within a time, and it did not come: a cart
// without a purchase, a ticket without an answer. With `correlate` several are waited for at once,
// each of its own key (cart id, ticket number) with an episode of its own.
//
// What is remembered are the open expectations, and for a while those that were met, so that a
// beginning that comes in late, after its own end, raises nothing.
#include <absl/container/inlined_vector.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.h"
#include "base/id.h"
#include "base/json_text.h"
#include "detect/detector.h"
#include "detect/fields.h"
#include "detect/memory.h"
#include "measure/match.h"

namespace heartbeatd {
namespace {

constexpr size_t kExpectationsMax = 32;
constexpr size_t kKeyBytesMax = 128;

// What is known of one key: when it began, when it was met, or both.
struct Expectation {
  std::string key;
  std::optional<EventTime> began;
  std::optional<EventTime> met;
  bool answered = false;  // what began it was the answer to the one before

  [[nodiscard]] EventTime newest() const {
    return std::max(began.value_or(EventTime::Min()), met.value_or(EventTime::Min()));
  }
};

struct Memory {
  bool seen = false;  // an event of `after` was seen before
  absl::InlinedVector<Expectation, 2> expectations;

  Expectation* Find(std::string_view key) {
    const auto it = std::find_if(expectations.begin(), expectations.end(),
                                 [&](const Expectation& e) { return e.key == key; });
    return it == expectations.end() ? nullptr : &*it;
  }
};

Memory Load(std::string_view bytes) {
  Memory memory;
  MemoryReader reader(bytes);
  if (reader.empty()) return memory;
  memory.seen = reader.Unsigned() != 0;
  while (reader.ok() && !reader.empty()) {
    Expectation& e = memory.expectations.emplace_back();
    e.key = reader.Text();
    const uint64_t parts = reader.Unsigned();
    if ((parts & 1) != 0) e.began = reader.Time();
    e.answered = (parts & 4) != 0;
    if ((parts & 2) != 0) e.met = reader.Time(e.began.value_or(EventTime()));
  }
  return reader.ok() ? memory : Memory{};
}

std::string Save(const Memory& memory) {
  if (!memory.seen && memory.expectations.empty()) return {};
  MemoryWriter writer;
  writer.Unsigned(memory.seen ? 1 : 0);
  for (const Expectation& e : memory.expectations) {
    writer.Text(e.key);
    writer.Unsigned((e.began ? 1u : 0u) | (e.met ? 2u : 0u) | (e.answered ? 4u : 0u));
    if (e.began) writer.Time(*e.began);
    if (e.met) writer.Time(*e.met, e.began.value_or(EventTime()));
  }
  return writer.bytes();
}

// The episode of this key that is pending or firing.
const OpenEpisode* OpenOf(const Subject& s, std::string_view key) {
  const auto it = std::find_if(s.open.begin(), s.open.end(),
                               [&](const OpenEpisode& open) { return open.key == key; });
  return it == s.open.end() ? nullptr : &*it;
}

struct FollowUp {
  EventMatch after;
  EventMatch expect;
  std::string after_names;  // for people
  std::string expect_names;
  bool first = false;   // only the customer's first event of `after` counts
  bool restart = true;  // another event of `after` lets the time run anew
  Duration within{};
  Duration forget_after{};
  int correlate = EventSchema::kUnknown;

  // The key that the event names; empty: none.
  [[nodiscard]] std::string KeyOf(const Event& event) const {
    const Property* property = event.Find(correlate);
    if (property == nullptr) return {};
    if (property->text.size() <= kKeyBytesMax) return property->text;
    return fmt::format("xxh64:{:016x}", Hash64(property->text));
  }

  // An event without a key may mean any of them. To be taken for an answer too many costs an alert,
  // for one too few the customer's patience.
  static bool Means(std::string_view a, std::string_view b) {
    return a.empty() || b.empty() || a == b;
  }

  void Meet(const Event& event, bool begins_too, Memory* memory) const {
    const std::string key = KeyOf(event);
    for (Expectation& e : memory->expectations) {
      if (!e.began || !Means(e.key, key)) continue;
      // An event that is both does not answer itself.
      const bool answers = begins_too ? event.time > *e.began : event.time >= *e.began;
      if (answers && (!e.met || event.time < *e.met)) e.met = event.time;
    }
    Expectation* own = memory->Find(key);
    if (own == nullptr) {
      if (first && memory->seen) return;  // nothing can begin any more
      own = &memory->expectations.emplace_back(Expectation{.key = key});
    }
    if (!own->began && (!own->met || event.time > *own->met)) own->met = event.time;
  }

  // Whether an answer to what began at `t` is known already.
  static std::optional<EventTime> MetSince(const Memory& memory, std::string_view key, EventTime t,
                                           bool meets_too) {
    for (const Expectation& e : memory.expectations) {
      if (!e.met || !Means(e.key, key)) continue;
      if (meets_too ? *e.met > t : *e.met >= t) return e.met;
    }
    return {};
  }

  void Begin(const Event& event, bool meets_too, Memory* memory) const {
    if (first && memory->seen) return;
    memory->seen = first;
    const std::string key = KeyOf(event);
    Expectation* own = memory->Find(key);
    if (own != nullptr && own->began) {
      const bool waits = !own->met;
      if (event.time <= *own->began || (waits && !restart)) return;
    }
    const std::optional<EventTime> met = MetSince(*memory, key, event.time, meets_too);
    if (own == nullptr) own = &memory->expectations.emplace_back(Expectation{.key = key});
    own->answered = meets_too && own->began;
    own->began = event.time;
    own->met = met;
  }

  void Apply(const Event& event, Memory* memory) const {
    const bool begins = after.Matches(event);
    const bool meets = expect.Matches(event);
    if (meets) Meet(event, begins, memory);
    if (begins) Begin(event, meets, memory);
    while (memory->expectations.size() > kExpectationsMax) {
      // Those that were met go first, then the oldest.
      const auto least = std::min_element(memory->expectations.begin(), memory->expectations.end(),
                                          [](const Expectation& a, const Expectation& b) {
                                            if (a.met.has_value() != b.met.has_value())
                                              return a.met.has_value();
                                            return a.newest() < b.newest();
                                          });
      memory->expectations.erase(least);
    }
  }

  // Appends what there is to say of one expectation; returns when that changes.
  EventTime Judge(const Subject& s, const Expectation& e, std::vector<Verdict>* verdicts) const {
    const OpenEpisode* open = OpenOf(s, e.key);
    if (!e.began) return EventTime::Never();
    const EventTime due = *e.began + within;
    Verdict verdict{.key = e.key,
                    .condition = Condition::kClear,
                    .since = s.now,
                    .value = static_cast<double>(e.began->ms())};
    EventTime next = EventTime::Never();
    if (e.met) {
      // At the very moment it falls due, the alert goes first: an answer then is late.
      verdict.reason = *e.met < due ? Reason::kCorrected : Reason::kLateFollowUp;
      if (verdict.reason == Reason::kLateFollowUp) verdict.since = *e.met;
    } else if (s.now < due) {
      next = due;
      const bool again = open != nullptr && *e.began > open->starts_at;
      verdict.reason = !again       ? Reason::kCorrected
                       : e.answered ? Reason::kLateFollowUp
                                    : Reason::kStartedAgain;
      if (again) verdict.since = *e.began;
    } else if (s.now < due + forget_after) {
      next = due + forget_after;
      verdict.condition = Condition::kFiring;
      verdict.reason = Reason::kFollowUpMissing;
      verdict.since = due;
    } else {
      verdict.reason = Reason::kExpired;
      verdict.since = due + forget_after;
    }
    if (open != nullptr || verdict.condition == Condition::kFiring)
      verdicts->push_back(std::move(verdict));
    return next;
  }

  // What is over and cannot matter to an event that comes in later.
  [[nodiscard]] bool IsOver(const Subject& s, const Expectation& e) const {
    if (OpenOf(s, e.key) != nullptr) return false;
    if (e.met) return s.now > *e.met + within;
    return s.now >= *e.began + within + forget_after;
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    Memory memory = Load(*s.memory);
    const auto over = std::remove_if(memory.expectations.begin(), memory.expectations.end(),
                                     [&](const Expectation& e) { return IsOver(s, e); });
    memory.expectations.erase(over, memory.expectations.end());
    if (s.event != nullptr) Apply(*s.event, &memory);
    EventTime due = EventTime::Never();
    for (const Expectation& e : memory.expectations) due = std::min(due, Judge(s, e, verdicts));
    for (const OpenEpisode& open : s.open) {
      if (memory.Find(open.key) != nullptr) continue;
      verdicts->push_back({.key = std::string(open.key),
                           .condition = Condition::kClear,
                           .reason = Reason::kExpired,
                           .since = s.now});
    }
    *s.memory = Save(memory);
    return due;
  }

  void Explain(const Subject& s, const Verdict& verdict, JsonText* to) const {
    Memory memory = Load(*s.memory);
    const Expectation* e = memory.Find(verdict.key);
    to->BeginObject("observed");
    to->Text("after", after_names);
    if (e != nullptr && e->began) to->Word("after_at", FormatRfc3339(*e->began));
    to->Text("expected", expect_names);
    if (e != nullptr && e->met) to->Word("expected_at", FormatRfc3339(*e->met));
    to->EndObject();
    to->BeginObject("threshold");
    to->Word("within", FormatDuration(within));
    to->EndObject();
  }
};

std::string NamesOf(const EventMatch& match, const EventSchema& schema) {
  std::string names;
  for (const int type : match.types)
    names += (names.empty() ? "" : ", ") + schema.types()[static_cast<size_t>(type)];
  return names;
}

}  // namespace

Detector MakeFollowUp(MapReader& fields, const DetectorContext& context) {
  FollowUp follow_up;
  if (fields.Required("after") != nullptr) {
    MapReader after(fields.Child("after"), "'after' of " + fields.what(), fields.findings());
    follow_up.after = ReadEventMatch(after, context.schema);
    follow_up.first = after.Flag("first", false);
    after.Finish();
  }
  if (fields.Required("expect") != nullptr) {
    MapReader expect(fields.Child("expect"), "'expect' of " + fields.what(), fields.findings());
    follow_up.expect = ReadEventMatch(expect, context.schema);
    expect.Finish();
  }
  follow_up.after_names = NamesOf(follow_up.after, context.schema);
  follow_up.expect_names = NamesOf(follow_up.expect, context.schema);
  if (fields.Required("within") != nullptr)
    follow_up.within = ReadDuration(fields, "within").value_or(Duration(0));
  follow_up.forget_after =
      ReadDuration(fields, "forget_after").value_or(std::chrono::hours(24) * 90);
  follow_up.restart = fields.Flag("restart", true);
  if (const std::optional<std::string> property = fields.Text("correlate"))
    follow_up.correlate = context.schema.AddProperty(*property);
  if (follow_up.first && follow_up.correlate != EventSchema::kUnknown) {
    fields.ErrorAt("correlate",
                   "'correlate' and 'first' exclude each other: a first event is one of all keys");
  }

  Detector detector;
  detector.types = follow_up.after.types;
  detector.types.insert(detector.types.end(), follow_up.expect.types.begin(),
                        follow_up.expect.types.end());
  detector.evaluate = [follow_up](const Subject& s, std::vector<Verdict>* v) {
    return follow_up.Evaluate(s, v);
  };
  detector.explain = [follow_up](const Subject& s, const Verdict& v, JsonText* to) {
    follow_up.Explain(s, v, to);
  };
  return detector;
}

}  // namespace heartbeatd
