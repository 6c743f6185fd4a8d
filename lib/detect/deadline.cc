// The deadline detector: a date comes near, unless it is renewed or cancelled meanwhile. The end of
// a term (subscription, support, contract), which the life cycle remembers, or a property of any
// event that holds a date, which the detector remembers itself. Each time before the date is an
// episode of its own, named "<date>:<before>[:<name>]".
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.h"
#include "base/json_text.h"
#include "detect/detector.h"
#include "detect/fields.h"
#include "detect/memory.h"
#include "event/moment.h"
#include "lifecycle/term.h"
#include "measure/match.h"

namespace heartbeatd {
namespace {

constexpr size_t kDatesMax = 16;
constexpr size_t kNameBytesMax = 128;

// What the newest event about one date has said.
struct Date {
  std::string name;  // tells dates of one customer apart; may be empty
  EventTime told_at;
  EventTime ends_at = EventTime::Never();  // Never(): there is none any more
  bool cancelled = false;
};

std::vector<Date> Load(std::string_view bytes) {
  std::vector<Date> dates;
  MemoryReader reader(bytes);
  while (reader.ok() && !reader.empty()) {
    Date& date = dates.emplace_back();
    date.name = reader.Text();
    date.told_at = reader.Time();
    date.cancelled = reader.Unsigned() != 0;
    date.ends_at = reader.Time(date.told_at);
  }
  return reader.ok() ? dates : std::vector<Date>();
}

std::string Save(const std::vector<Date>& dates) {
  MemoryWriter writer;
  for (const Date& date : dates) {
    writer.Text(date.name);
    writer.Time(date.told_at);
    writer.Unsigned(date.cancelled ? 1 : 0);
    writer.Time(date.ends_at, date.told_at);
  }
  return writer.bytes();
}

// As rules write it: 0d, not 0s.
std::string Show(Duration before) { return before == Duration(0) ? "0d" : FormatDuration(before); }

std::string KeyOf(const Date& date, Duration before) {
  return fmt::format("{}:{}{}{}", FormatRfc3339(date.ends_at), Show(before),
                     date.name.empty() ? "" : ":", date.name);
}

// Takes the first `size` bytes away, or what there is.
std::string_view Cut(std::string_view* text, size_t size) {
  const std::string_view cut = text->substr(0, size);
  text->remove_prefix(cut.size());
  return cut;
}

// An episode's key in its parts.
struct Key {
  EventTime ends_at;
  std::string_view before;
  std::string_view name;

  // Of a key that KeyOf() did not make, from broken bytes, any parts.
  explicit Key(std::string_view key) {
    ends_at = ParseRfc3339(Cut(&key, key.find('Z') + 1)).value_or(EventTime());
    Cut(&key, 1);
    before = Cut(&key, key.find(':'));
    Cut(&key, 1);
    name = key;
  }
};

struct Deadline {
  std::optional<TermType> term;  // or:
  EventMatch of;
  EventMatch cancelled_by;
  int date_property = EventSchema::kUnknown;
  int name_property = EventSchema::kUnknown;
  std::string of_names;          // for people
  std::vector<Duration> before;  // longest first
  Duration forget_after{};

  // So long before the date. Whole days are days of the calendar: 30 days before a midnight is a
  // midnight.
  static EventTime Before(const Calendar& calendar, EventTime date, Duration before) {
    constexpr Duration kDay{kMsPerDay};
    if (before % kDay != Duration(0)) return date - before;
    const int32_t day = calendar.DayOf(date);
    const Duration time_of_day = date - calendar.DayStart(day);
    return calendar.DayStart(day - static_cast<int32_t>(before / kDay)) + time_of_day;
  }

  // Of the customer's terms, those of the rule's type. Products and services of one plan are two.
  [[nodiscard]] std::vector<Date> OfTerms(const Subject& s) const {
    std::vector<Date> dates;
    for (const Term& t : s.lifecycle.terms) {
      if (t.type != *term) continue;
      dates.push_back({.name = t.product ? t.plan + ":product" : t.plan,
                       .told_at = t.changed_at,
                       .ends_at = t.ends_at,
                       .cancelled = t.cancelled});
    }
    return dates;
  }

  void Apply(const Subject& s, std::vector<Date>* dates) const {
    const Event& event = *s.event;
    const bool cancels = cancelled_by.Matches(event);
    const std::optional<EventTime> ends_at = MomentOf(event.Find(date_property), s.calendar);
    if (!cancels && !(of.Matches(event) && ends_at)) return;
    const Property* property = event.Find(name_property);
    const std::string name =
        property == nullptr ? std::string() : property->text.substr(0, kNameBytesMax);
    bool known = false;
    for (Date& date : *dates) {
      // Who cancels without saying what may mean any of them.
      if (date.name != name && !(cancels && name.empty())) continue;
      known = true;
      if (event.time < date.told_at) continue;
      date.told_at = event.time;
      date.cancelled = cancels;
      if (!cancels) date.ends_at = *ends_at;
    }
    if (known || cancels) return;
    dates->push_back({.name = name, .told_at = event.time, .ends_at = *ends_at});
    if (dates->size() > kDatesMax) {
      dates->erase(std::min_element(dates->begin(), dates->end(), [](const Date& a, const Date& b) {
        return a.told_at < b.told_at;
      }));
    }
  }

  // Without what is so long past that nobody waits for it any more.
  void Forget(EventTime now, std::vector<Date>* dates) const {
    std::erase_if(*dates, [&](const Date& date) {
      return now >= (date.cancelled ? date.told_at : date.ends_at) + forget_after;
    });
  }

  // What the rule knows of, with the news of the event that is being applied, if any.
  [[nodiscard]] std::vector<Date> DatesOf(const Subject& s) const {
    std::vector<Date> dates = term ? OfTerms(s) : Load(*s.memory);
    Forget(s.now, &dates);  // before the news: what is forgotten depends on the time alone
    if (!term && s.event != nullptr) {
      Apply(s, &dates);
      Forget(s.now, &dates);
    }
    return dates;
  }

  static bool IsOpen(const Subject& s, std::string_view key) {
    return std::any_of(s.open.begin(), s.open.end(),
                       [&](const OpenEpisode& open) { return open.key == key; });
  }

  // Appends what there is to say of one date; returns when that changes.
  EventTime Judge(const Subject& s, const Date& date, std::vector<Verdict>* verdicts) const {
    if (date.cancelled || date.ends_at == EventTime::Never()) return EventTime::Never();
    EventTime next = EventTime::Never();
    for (const Duration step : before) {
      const EventTime due = Before(s.calendar, date.ends_at, step);
      if (due > s.now) {
        next = std::min(next, due);
        continue;
      }
      std::string key = KeyOf(date, step);
      // Who begins a month hears nothing of "30 days left"; what was said already still holds.
      if (due <= date.told_at && !IsOpen(s, key)) continue;
      next = std::min(next, date.ends_at + forget_after);
      verdicts->push_back(
          {.key = std::move(key),
           .condition = Condition::kFiring,
           .reason = step == Duration(0) ? Reason::kDeadlineReached : Reason::kDeadlineNear,
           .since = due,
           .value = static_cast<double>(date.ends_at.ms())});
    }
    return next;
  }

  // Why an episode is over whose date is no longer the one that comes near.
  static Verdict Over(const Subject& s, const OpenEpisode& open, const std::vector<Date>& dates) {
    Verdict verdict{.key = std::string(open.key),
                    .condition = Condition::kClear,
                    .reason = Reason::kExpired,
                    .since = s.now};
    const Key key(open.key);
    const auto date =
        std::find_if(dates.begin(), dates.end(), [&](const Date& d) { return d.name == key.name; });
    if (date == dates.end()) return verdict;
    if (date->told_at < open.starts_at) {
      verdict.reason = Reason::kCorrected;  // told before it fired, though nobody knew
      return verdict;
    }
    verdict.reason = date->cancelled               ? Reason::kCancelled
                     : date->ends_at > key.ends_at ? Reason::kRenewed
                     : date->ends_at <= s.now      ? Reason::kExpired
                                                   : Reason::kCorrected;
    if (verdict.reason != Reason::kCorrected) verdict.since = date->told_at;
    return verdict;
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    const std::vector<Date> dates = DatesOf(s);
    if (!term) *s.memory = Save(dates);
    EventTime due = EventTime::Never();
    for (const Date& date : dates) due = std::min(due, Judge(s, date, verdicts));
    for (const OpenEpisode& open : s.open) {
      const bool said = std::any_of(verdicts->begin(), verdicts->end(),
                                    [&](const Verdict& v) { return v.key == open.key; });
      if (!said) verdicts->push_back(Over(s, open, dates));
    }
    return due;
  }

  void Explain(const Subject& s, const Verdict& verdict, JsonText* to) const {
    const Key key(verdict.key);
    to->BeginObject("observed");
    to->Text("of", of_names);
    if (!key.name.empty()) to->Text("name", key.name);
    to->Word("ends_at", FormatRfc3339(key.ends_at));
    std::optional<EventTime> now_ends_at;
    for (const Date& date : DatesOf(s)) {
      const bool moved = date.ends_at != key.ends_at && date.ends_at != EventTime::Never();
      if (date.name == key.name && moved) now_ends_at = date.ends_at;
    }
    if (now_ends_at) to->Word("now_ends_at", FormatRfc3339(*now_ends_at));
    to->EndObject();
    to->BeginObject("threshold");
    to->Text("before", key.before);
    to->EndObject();
  }
};

// A type of terms by its name, or a type of events and the property with the date.
void ReadOf(MapReader& fields, const DetectorContext& context, Deadline* deadline) {
  const Node* of = fields.Required("of");
  if (of == nullptr) return;
  if (of->kind == Node::Kind::kMap) {
    MapReader reader(of, "'of' of " + fields.what(), fields.findings());
    deadline->of = ReadEventMatch(reader, context.schema);
    if (reader.Required("property") != nullptr)
      deadline->date_property = context.schema.AddProperty(reader.Text("property", ""));
    if (const std::optional<std::string> name = reader.Text("correlate"))
      deadline->name_property = context.schema.AddProperty(*name);
    if (const Node* cancelled_by = reader.Child("cancelled_by")) {
      MapReader match(cancelled_by, "'cancelled_by' of " + fields.what(), fields.findings());
      deadline->cancelled_by = ReadEventMatch(match, context.schema);
      match.Finish();
    }
    reader.Finish();
    return;
  }
  if (of->kind == Node::Kind::kScalar) deadline->term = TermTypeOf(of->scalar);
  if (!deadline->term) {
    fields.ErrorAt("of", fmt::format("'of' of {} must be subscription, support or contract, or "
                                     "{{type: TYPE, property: NAME}} for a date of your own",
                                     fields.what()));
    return;
  }
  context.lifecycle.tracks_terms = true;
  deadline->of.types = {context.schema.AddType(of->scalar)};
}

std::vector<Duration> ReadBefore(MapReader& fields) {
  constexpr Duration kDay = std::chrono::hours(24);
  if (!fields.Has("before")) return {30 * kDay, 7 * kDay, Duration(0)};
  std::vector<Duration> out;
  for (const std::string& text : fields.Texts("before")) {
    const Result<Duration> time = ParseDuration(text);
    if (time) {
      out.push_back(*time);
    } else {
      fields.ErrorAt("before",
                     fmt::format("'before' of {}: {}", fields.what(), time.error().message));
    }
  }
  std::sort(out.rbegin(), out.rend());
  if (std::adjacent_find(out.begin(), out.end()) != out.end())
    fields.ErrorAt("before", fmt::format("'before' of {} names a time twice", fields.what()));
  return out;
}

}  // namespace

Detector MakeDeadline(MapReader& fields, const DetectorContext& context) {
  Deadline deadline;
  ReadOf(fields, context, &deadline);
  deadline.before = ReadBefore(fields);
  deadline.forget_after =
      ReadDuration(fields, "forget_after").value_or(std::chrono::hours(24) * 90);
  for (const int type : deadline.of.types) {
    const std::string& name = context.schema.types()[static_cast<size_t>(type)];
    deadline.of_names += (deadline.of_names.empty() ? "" : ", ") + name;
  }

  Detector detector;
  detector.types = deadline.of.types;
  detector.types.insert(detector.types.end(), deadline.cancelled_by.types.begin(),
                        deadline.cancelled_by.types.end());
  detector.evaluate = [deadline](const Subject& s, std::vector<Verdict>* v) {
    return deadline.Evaluate(s, v);
  };
  detector.explain = [deadline](const Subject& s, const Verdict& v, JsonText* to) {
    deadline.Explain(s, v, to);
  };
  return detector;
}

}  // namespace heartbeatd
