// The score detector: low answers to surveys, and falls.
#include "one_customer.h"

using namespace heartbeatd;

namespace {

const EventTime kT = At("2026-03-01T09:00:00Z");

OneCustomer With(std::string_view fields) {
  return OneCustomer(fmt::format("rules:\n  - {{id: r, detector: score, {}}}\n", fields));
}

void Answer(OneCustomer& customer, int day, double score, std::string_view metric = "nps") {
  customer.On(
      kT + Days(day),
      fmt::format(R"("type":"feedback","properties":{{"metric":"{}","score":{}}})", metric, score));
}

// The edges of all answers, one a day, as "day edge reason".
Lines Edges(std::string_view fields, const std::vector<double>& answers) {
  OneCustomer customer = With(fields);
  Lines lines;
  for (size_t i = 0; i < answers.size(); ++i) {
    Answer(customer, static_cast<int>(i), answers[i]);
    for (const std::string& line : customer.Take())
      lines.push_back(fmt::format("{} {}", i, line.substr(line.find(" r ") + 3)));
  }
  return lines;
}

}  // namespace

TEST_CASE("score: which answers fire, and which end it") {
  struct Row {
    const char* fields;
    std::vector<double> answers;
    Lines edges;
  };
  const Row row = GENERATE(values<Row>({
      {"metric: nps, below: 7", {7, 9, 10}, {}},
      {"metric: nps, below: 7", {6}, {"0 firing low_score"}},
      {"metric: nps, below: 7", {6.999}, {"0 firing low_score"}},
      {"metric: nps, below: 7", {0, 5, 6, 7}, {"0 firing low_score", "3 resolved better_answer"}},
      {"metric: nps, below: 7",
       {3, 8, 2},
       {"0 firing low_score", "1 resolved better_answer", "2 firing low_score"}},
      {"metric: nps, fall: 3", {9, 7, 5}, {}},  // little by little
      {"metric: nps, fall: 3", {9, 6}, {"1 firing score_fell"}},
      {"metric: nps, fall: 3", {9, 6.5}, {}},
      {"metric: nps, fall: 3", {4}, {}},                             // nothing to fall from
      {"metric: nps, fall: 3", {9, 5, 5}, {"1 firing score_fell"}},  // no better answer
      {"metric: nps, fall: 3", {9, 5, 4}, {"1 firing score_fell"}},
      {"metric: nps, fall: 3", {9, 5, 6}, {"1 firing score_fell", "2 resolved better_answer"}},
      {"metric: nps, fall: 0.3", {1, 0.7}, {"1 firing score_fell"}},  // exactly, in decimals
      // Either is enough.
      {"metric: nps, below: 7, fall: 3", {10, 7}, {"1 firing score_fell"}},
      {"metric: nps, below: 7, fall: 3", {6, 6}, {"0 firing low_score"}},
      {"metric: nps, below: 7, fall: 3",
       {10, 6, 7},
       {"1 firing low_score", "2 resolved better_answer"}},
  }));
  CAPTURE(row.fields, row.answers);
  CHECK(Edges(row.fields, row.answers) == row.edges);
}

TEST_CASE("score: only its own metric, and only answers with a number") {
  OneCustomer customer = With("metric: csat, below: 3");
  Answer(customer, 0, 1, "nps");
  customer.On(kT + Days(1), R"("type":"feedback","properties":{"metric":"csat"})");
  customer.On(kT + Days(2), R"("type":"feedback","properties":{"metric":"csat","score":"bad"})");
  customer.On(kT + Days(3), R"("type":"review","properties":{"metric":"csat","score":1})");
  CHECK(customer.Take() == Lines{});
  Answer(customer, 4, 2, "csat");
  REQUIRE(customer.Take() == Lines{"2026-03-05T09:00:00Z r firing low_score"});
  CHECK(
      customer.taken[0]["data"]["observed"] ==
      nlohmann::json::parse(R"({"metric":"csat","score":2,"answered_at":"2026-03-05T09:00:00Z"})"));
  CHECK(customer.taken[0]["data"]["threshold"] == nlohmann::json::parse(R"({"below":3})"));
}

TEST_CASE("score: answers count in the order of their own times") {
  OneCustomer customer = With("metric: nps, below: 7, fall: 3");
  Answer(customer, 10, 7);
  Answer(customer, 0, 2);  // late, and answered better since
  CHECK(customer.Take() == Lines{});
  Answer(customer, 5, 10);  // late: the answer of day 10 was a fall from this one
  REQUIRE(customer.Take() == Lines{"2026-03-11T09:00:00Z r firing score_fell"});
  CHECK(customer.taken[0]["data"]["observed"]["previous_score"] == 10);
  Answer(customer, 7, 8);  // late: no, from this one
  CHECK(customer.Take() == Lines{"2026-03-11T09:00:00Z r resolved corrected"});
  Answer(customer, 10, 1);  // said again at the same time: what counts is the last word
  CHECK(customer.Take() == Lines{"2026-03-11T09:00:00Z r firing low_score"});
  Answer(customer, 10, 9);
  CHECK(customer.Take() == Lines{"2026-03-11T09:00:00Z r resolved corrected"});
}

TEST_CASE("score: a late answer that is the newest all the same") {
  OneCustomer customer = With("metric: nps, below: 7");
  Answer(customer, 0, 5);
  REQUIRE(customer.Take().size() == 1);
  customer.AdvanceTo(kT + Days(20));
  Answer(customer, 3, 9);
  CHECK(customer.Take() == Lines{"2026-03-04T09:00:00Z r resolved better_answer"});
}
