// The score detector: an answer to a survey (NPS, CES, CSAT) is low, or clearly lower than the
// customer's answer before. A better answer ends it. Answers count in the order of their own times,
// however they arrive.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "detect/detector.h"
#include "detect/evidence.h"
#include "detect/memory.h"

namespace heartbeatd {
namespace {

struct Answer {
  EventTime at;
  int64_t micros = 0;  // the score in millionths: sums and differences are exact
};

// At most two: the newest, then the one before.
using Answers = std::vector<Answer>;
constexpr size_t kAnswersMax = 2;

// Of either sign; NaN is none.
bool IsScore(double units) { return std::abs(units) <= 1e9; }

Answers Load(std::string_view bytes) {
  Answers answers;
  MemoryReader reader(bytes);
  while (reader.ok() && !reader.empty() && answers.size() < kAnswersMax) {
    const EventTime at = reader.Time();
    const int64_t micros = reader.Signed();
    if (!IsScore(Units(micros))) return {};
    answers.push_back({.at = at, .micros = micros});
  }
  return reader.ok() ? answers : Answers();
}

std::string Save(const Answers& answers) {
  MemoryWriter writer;
  for (const Answer& answer : answers) {
    writer.Time(answer.at);
    writer.Signed(answer.micros);
  }
  return writer.bytes();
}

int64_t Micros(double units) { return std::llround(units * static_cast<double>(kMicrosPerUnit)); }

struct Score {
  std::string metric;
  int type = EventSchema::kUnknown;
  int metric_property = EventSchema::kUnknown;
  int score_property = EventSchema::kUnknown;
  std::optional<double> below;
  std::optional<double> fall;

  void Apply(const Event& event, Answers* answers) const {
    const Property* named = event.Find(metric_property);
    const Property* score = event.Find(score_property);
    if (event.type != type || named == nullptr || named->text != metric) return;
    if (score == nullptr || !score->number || !IsScore(*score->number)) return;
    const Answer answer{.at = event.time, .micros = Micros(*score->number)};
    const auto at = std::find_if(answers->begin(), answers->end(),
                                 [&](const Answer& a) { return a.at <= answer.at; });
    if (at != answers->end() && at->at == answer.at) {
      *at = answer;  // said again, or corrected
    } else {
      answers->insert(at, answer);
    }
    if (answers->size() > kAnswersMax) answers->pop_back();
  }

  // Why the newest answer fires; kNone if it does not.
  [[nodiscard]] Reason Complaint(const Answers& answers) const {
    if (below && answers[0].micros < Micros(*below)) return Reason::kLowScore;
    const bool fell =
        fall && answers.size() > 1 && answers[0].micros <= answers[1].micros - Micros(*fall);
    return fell ? Reason::kScoreFell : Reason::kNone;
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    Answers answers = Load(*s.memory);
    if (s.event != nullptr) {
      Apply(*s.event, &answers);
      *s.memory = Save(answers);
    }
    Verdict& verdict = verdicts->emplace_back();
    if (answers.empty()) {
      verdict.reason = Reason::kNothingSeen;
      return EventTime::Never();
    }
    const Answer& newest = answers[0];
    verdict.since = newest.at;
    verdict.value = Units(newest.micros);
    verdict.reason = Complaint(answers);
    const OpenEpisode* open = s.open.empty() ? nullptr : &s.open.front();
    if (verdict.reason != Reason::kNone) {
      verdict.condition = Condition::kFiring;
    } else if (open != nullptr && newest.at > open->starts_at && verdict.value <= open->value) {
      verdict.reason = Reason::kScoreFell;  // the same low answer again is no better one
      verdict.condition = Condition::kFiring;
    } else {
      const bool corrected = open != nullptr && newest.at <= open->starts_at;
      verdict.condition = Condition::kClear;
      verdict.reason = open == nullptr ? Reason::kWithinLimits
                       : corrected     ? Reason::kCorrected
                                       : Reason::kBetterAnswer;
      if (corrected) verdict.since = s.now;
    }
    return EventTime::Never();
  }

  void Explain(const Subject& s, const Verdict&, JsonText* to) const {
    const Answers answers = Load(*s.memory);
    to->BeginObject("observed");
    to->Text("metric", metric);
    if (!answers.empty()) {
      to->Plain("score", Units(answers[0].micros));
      to->Word("answered_at", FormatRfc3339(answers[0].at));
    }
    if (answers.size() > 1) {
      to->Plain("previous_score", Units(answers[1].micros));
      to->Word("previous_at", FormatRfc3339(answers[1].at));
    }
    to->EndObject();
    to->BeginObject("threshold");
    if (below) to->Plain("below", *below);
    if (fall) to->Plain("fall", *fall);
    to->EndObject();
  }
};

}  // namespace

Detector MakeScore(MapReader& fields, const DetectorContext& context) {
  Score score;
  static constexpr const char* kMetrics[] = {"nps", "ces", "csat"};
  if (fields.Required("metric") != nullptr)
    score.metric = kMetrics[fields.Choice("metric", {"nps", "ces", "csat"}).value_or(0)];
  constexpr double kScoreMax = 100;
  constexpr double kTiny = 1e-6;
  score.below = fields.Number("below", kTiny, kScoreMax);
  score.fall = fields.Number("fall", kTiny, kScoreMax);
  if (!fields.Has("below") && !fields.Has("fall")) {
    fields.ErrorAt("detector", fmt::format("{} needs 'below' or 'fall', or both", fields.what()));
  }
  score.type = context.schema.AddType("feedback");
  score.metric_property = context.schema.AddProperty("metric");
  score.score_property = context.schema.AddProperty("score");

  Detector detector;
  detector.types = {score.type};
  detector.evaluate = [score](const Subject& s, std::vector<Verdict>* v) {
    return score.Evaluate(s, v);
  };
  detector.explain = [score](const Subject& s, const Verdict& v, JsonText* to) {
    score.Explain(s, v, to);
  };
  return detector;
}

}  // namespace heartbeatd
