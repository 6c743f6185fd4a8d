// The deadline detector: a date that an event has told (the end of a subscription, a support
// period, a contract; or any property that holds a date) comes near, unless it is renewed or
// cancelled meanwhile. Each time before the date is an episode of its own, named
// "<date>:<before>[:<plan>]".
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.h"
#include "detect/detector.h"
#include "detect/fields.h"
#include "detect/memory.h"
#include "event/moment.h"
#include "measure/match.h"

namespace heartbeatd {
namespace {

constexpr size_t kDatesMax = 16;
constexpr size_t kPlanBytesMax = 128;

// What the newest event about one plan has said.
struct Date {
  enum class Fate : uint8_t { kRuns, kRenewed, kCancelled };  // kRenewed: without a new date

  std::string plan;  // empty: has no name
  EventTime told_at;
  EventTime ends_at;  // meaningless unless it runs
  Fate fate = Fate::kRuns;
};

std::vector<Date> Load(std::string_view bytes) {
  std::vector<Date> dates;
  MemoryReader reader(bytes);
  while (reader.ok() && !reader.empty()) {
    Date& date = dates.emplace_back();
    date.plan = reader.Text();
    date.told_at = EventTime(reader.Signed());
    date.fate = static_cast<Date::Fate>(std::min<uint64_t>(reader.Unsigned(), 2));
    if (date.fate == Date::Fate::kRuns)
      date.ends_at = EventTime(date.told_at.ms() + reader.Signed());
  }
  return reader.ok() ? dates : std::vector<Date>();
}

std::string Save(const std::vector<Date>& dates) {
  MemoryWriter writer;
  for (const Date& date : dates) {
    writer.Text(date.plan);
    writer.Signed(date.told_at.ms());
    writer.Unsigned(static_cast<uint64_t>(date.fate));
    if (date.fate == Date::Fate::kRuns) writer.Signed(date.ends_at.ms() - date.told_at.ms());
  }
  return writer.bytes();
}

// An episode's key in its parts.
struct Key {
  EventTime ends_at;
  std::string_view plan;
};

// As rules write it: 0d, not 0s.
std::string Show(Duration before) { return before == Duration(0) ? "0d" : FormatDuration(before); }

std::string KeyOf(const Date& date, Duration before) {
  return fmt::format("{}:{}{}{}", FormatRfc3339(date.ends_at), Show(before),
                     date.plan.empty() ? "" : ":", date.plan);
}

Key Split(std::string_view key) {
  Key parts;
  const size_t date_end = std::min(key.find('Z'), key.size() - 1) + 1;
  parts.ends_at = ParseRfc3339(key.substr(0, date_end)).value_or(EventTime());
  const size_t plan = key.find(':', date_end + 1);
  if (plan != std::string_view::npos) parts.plan = key.substr(plan + 1);
  return parts;
}

struct Deadline {
  EventMatch of;
  EventMatch cancelled_by;  // no types: nothing but a status cancels
  std::string of_names;     // for people
  int date_property = EventSchema::kUnknown;
  int status_property = EventSchema::kUnknown;
  int plan_property = EventSchema::kUnknown;
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

  [[nodiscard]] std::string PlanOf(const Event& event) const {
    const Property* plan = event.Find(plan_property);
    return plan == nullptr ? std::string() : plan->text.substr(0, kPlanBytesMax);
  }

  // The date that the event is about: a beginning says its plan or means the one without a name;
  // other news without a plan are about what was told last.
  static Date* Find(std::vector<Date>& dates, std::string_view plan, bool begins) {
    Date* found = nullptr;
    for (Date& date : dates) {
      if (date.plan == plan && (begins || !plan.empty())) return &date;
      const bool newer = found == nullptr || date.told_at > found->told_at;
      if (plan.empty() && !begins && newer) found = &date;
    }
    return found;
  }

  void Apply(const Subject& s, std::vector<Date>* dates) const {
    const Event& event = *s.event;
    const bool cancels = cancelled_by.Matches(event);
    if (!cancels && !of.Matches(event)) return;
    const Property* status = event.Find(status_property);
    const std::string_view said = cancels             ? "cancelled"
                                  : status == nullptr ? std::string_view()
                                                      : status->text;
    if (said == "expired") return;  // the date has told it
    const std::optional<EventTime> ends_at = MomentOf(event.Find(date_property), s.calendar);
    const bool closes =
        said == "cancelled" || said == "canceled" || (said == "renewed" && !ends_at);
    if (!closes && !ends_at) return;
    const std::string plan = PlanOf(event);
    Date* date = Find(*dates, plan, said == "started" || said.empty());
    if (date == nullptr) {
      if (closes) return;  // of nothing that is known
      date = &dates->emplace_back(Date{.plan = plan});
    } else if (event.time < date->told_at) {
      return;
    }
    date->told_at = event.time;
    date->fate = !closes             ? Date::Fate::kRuns
                 : said == "renewed" ? Date::Fate::kRenewed
                                     : Date::Fate::kCancelled;
    if (!closes) date->ends_at = *ends_at;
    if (dates->size() > kDatesMax) {
      dates->erase(std::min_element(dates->begin(), dates->end(), [](const Date& a, const Date& b) {
        return a.told_at < b.told_at;
      }));
    }
  }

  // Why an episode is over whose date is no longer one that comes near.
  [[nodiscard]] Verdict Over(const Subject& s, const OpenEpisode& open,
                             const std::vector<Date>& dates) const {
    Verdict verdict{.key = std::string(open.key), .condition = Condition::kClear, .since = s.now};
    const Key key = Split(open.key);
    const auto date =
        std::find_if(dates.begin(), dates.end(), [&](const Date& d) { return d.plan == key.plan; });
    verdict.reason = Reason::kExpired;
    if (date == dates.end()) return verdict;
    if (date->fate == Date::Fate::kRuns && date->ends_at == key.ends_at) {
      verdict.reason = Reason::kCorrected;  // told anew, when this time before it had passed
      return verdict;
    }
    const bool goes_on = date->fate == Date::Fate::kRenewed ||
                         (date->fate == Date::Fate::kRuns && date->ends_at > key.ends_at);
    verdict.reason = date->fate == Date::Fate::kCancelled ? Reason::kCancelled
                     : goes_on                            ? Reason::kRenewed
                                                          : Reason::kCorrected;
    // Told before it fired, though nobody knew: it should not have.
    if (date->told_at < open.starts_at) verdict.reason = Reason::kCorrected;
    if (verdict.reason != Reason::kCorrected) verdict.since = date->told_at;
    return verdict;
  }

  // Appends what there is to say of one date; returns when that changes.
  EventTime Judge(const Subject& s, const Date& date, std::vector<Verdict>* verdicts) const {
    if (date.fate != Date::Fate::kRuns) return EventTime::Never();
    EventTime next = EventTime::Never();
    for (const Duration step : before) {
      const EventTime due = Before(s.calendar, date.ends_at, step);
      if (due <= date.told_at) continue;  // who begins a month hears nothing of "30 days left"
      if (due > s.now) {
        next = std::min(next, due);
        continue;
      }
      next = std::min(next, date.ends_at + forget_after);
      verdicts->push_back(
          {.key = KeyOf(date, step),
           .condition = Condition::kFiring,
           .reason = step == Duration(0) ? Reason::kDeadlineReached : Reason::kDeadlineNear,
           .since = due,
           .value = static_cast<double>(date.ends_at.ms())});
    }
    return next;
  }

  // What is past: nobody waits for its renewal any longer.
  [[nodiscard]] bool IsOver(const Subject& s, const Date& date) const {
    return s.now >= (date.fate == Date::Fate::kRuns ? date.ends_at : date.told_at) + forget_after;
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    std::vector<Date> dates = Load(*s.memory);
    std::erase_if(dates, [&](const Date& date) { return IsOver(s, date); });
    if (s.event != nullptr) Apply(s, &dates);
    EventTime due = EventTime::Never();
    for (const Date& date : dates) due = std::min(due, Judge(s, date, verdicts));
    for (const OpenEpisode& open : s.open) {
      const bool said = std::any_of(verdicts->begin(), verdicts->end(),
                                    [&](const Verdict& v) { return v.key == open.key; });
      if (!said) verdicts->push_back(Over(s, open, dates));
    }
    *s.memory = Save(dates);
    return due;
  }

  [[nodiscard]] nlohmann::ordered_json Explain(const Subject& s, const Verdict& verdict) const {
    const Key key = Split(verdict.key);
    nlohmann::ordered_json observed{{"of", of_names}};
    if (!key.plan.empty()) observed["plan"] = key.plan;
    observed["ends_at"] = FormatRfc3339(key.ends_at);
    const std::vector<Date> dates = Load(*s.memory);
    for (const Date& date : dates) {
      const bool moved = date.fate == Date::Fate::kRuns && date.ends_at != key.ends_at;
      if (date.plan == key.plan && moved) observed["now_ends_at"] = FormatRfc3339(date.ends_at);
    }
    std::string step(verdict.key.substr(FormatRfc3339(key.ends_at).size() + 1));
    nlohmann::ordered_json out;
    out["observed"] = std::move(observed);
    out["threshold"] = {{"before", step.substr(0, step.find(':'))}};
    return out;
  }
};

// `of` as the name of a built-in type of terms, or as a type and the property with the date.
void ReadOf(MapReader& fields, EventSchema& schema, Deadline* deadline) {
  deadline->status_property = schema.AddProperty("status");
  const Node* of = fields.Required("of");
  if (of == nullptr) return;
  if (of->kind == Node::Kind::kMap) {
    MapReader reader(of, "'of' of " + fields.what(), fields.findings());
    deadline->of = ReadEventMatch(reader, schema);
    if (reader.Required("property") != nullptr)
      deadline->date_property = schema.AddProperty(reader.Text("property", ""));
    if (const std::optional<std::string> plan = reader.Text("correlate"))
      deadline->plan_property = schema.AddProperty(*plan);
    if (const Node* cancelled_by = reader.Child("cancelled_by")) {
      MapReader match(cancelled_by, "'cancelled_by' of " + fields.what(), fields.findings());
      deadline->cancelled_by = ReadEventMatch(match, schema);
      match.Finish();
    }
    reader.Finish();
    return;
  }
  static constexpr std::string_view kTypes[] = {"subscription", "support", "contract"};
  const bool known =
      of->kind == Node::Kind::kScalar &&
      std::find(std::begin(kTypes), std::end(kTypes), of->scalar) != std::end(kTypes);
  if (!known) {
    fields.ErrorAt("of", fmt::format("'of' of {} must be subscription, support or contract, or "
                                     "{{type: TYPE, property: NAME}} for a date of your own",
                                     fields.what()));
    return;
  }
  deadline->of.types = {schema.AddType(of->scalar)};
  deadline->date_property = schema.AddProperty("ends_at");
  deadline->plan_property = schema.AddProperty("plan");
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
  ReadOf(fields, context.schema, &deadline);
  deadline.before = ReadBefore(fields);
  deadline.forget_after =
      ReadDuration(fields, "forget_after").value_or(std::chrono::hours(24) * 90);

  Detector detector;
  detector.types = deadline.of.types;
  detector.types.insert(detector.types.end(), deadline.cancelled_by.types.begin(),
                        deadline.cancelled_by.types.end());
  for (const int type : deadline.of.types) {
    const std::string& name = context.schema.types()[static_cast<size_t>(type)];
    deadline.of_names += (deadline.of_names.empty() ? "" : ", ") + name;
  }
  detector.evaluate = [deadline](const Subject& s, std::vector<Verdict>* v) {
    return deadline.Evaluate(s, v);
  };
  detector.explain = [deadline](const Subject& s, const Verdict& v) {
    return deadline.Explain(s, v);
  };
  return detector;
}

}  // namespace heartbeatd
