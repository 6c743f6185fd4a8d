#include "lifecycle/term.h"

#include <random>

#include "customer/codec.h"
#include "event/moment.h"
#include "given.h"
#include "shard/evaluator.h"

using namespace heartbeatd;

namespace {

const EventTime kT = At("2026-03-01T09:00:00Z");

// One customer's terms, as text: "contract gold 2026-03-01..2027-03-01 cancelled renewed".
struct Terms {
  EventSchema schema;
  TermFields fields = AddTermFields(schema);
  Calendar calendar;
  std::vector<Term> terms;

  void On(EventTime at, const std::string& type, const std::string& properties,
          EventTime now = EventTime::Min()) {
    EventDecoder decoder(schema, {});
    Event event;
    const std::string json =
        JsonOf("c", "e", at, fmt::format(R"("type":"{}","properties":{{{}}})", type, properties));
    if (const auto refused = decoder.Decode(json, &event)) FAIL(NameOf(*refused) << ": " << json);
    ApplyToTerms(fields, calendar, event, std::max(at, now), &terms);
  }
  [[nodiscard]] std::vector<std::string> Lines() const {
    const auto day = [](EventTime t) {
      if (t == EventTime::Never()) return std::string();
      const std::string text = FormatRfc3339(t);
      return text.ends_with("T00:00:00Z") ? text.substr(0, 10) : text;
    };
    std::vector<std::string> out;
    for (const Term& term : terms) {
      out.push_back(fmt::format("{} {} {}..{}{}{}{}", NameOf(term.type), term.plan,
                                day(term.starts_at), day(term.ends_at),
                                term.product ? " product" : "", term.cancelled ? " cancelled" : "",
                                term.renewed ? " renewed" : ""));
    }
    return out;
  }
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("term: what each status does, to a known term and to one nobody has heard of") {
  struct Row {
    const char* before;  // properties of an event on 2026-03-01; empty: none
    const char* event;   // properties of one on 2026-04-01
    const char* term;
  };
  const Row row = GENERATE(values<Row>({
      {"", R"("status":"started")", "subscription  2026-04-01.."},
      {"", R"("status":"started","starts_at":"2026-05-01","ends_at":"2026-06-01")",
       "subscription  2026-05-01..2026-06-01"},
      {"", R"("status":"renewed","ends_at":"2027-01-01")",
       "subscription  2026-04-01..2027-01-01 renewed"},
      {"", R"("status":"cancelled")", "subscription  2026-04-01..2026-04-01 cancelled"},
      {"", R"("status":"cancelled","ends_at":"2026-12-31")",
       "subscription  2026-04-01..2026-12-31 cancelled"},
      {"", R"("status":"expired")", "subscription  2026-04-01..2026-04-01"},
      {"", R"("ends_at":"2026-12-31")", "subscription  2026-04-01..2026-12-31"},
      {R"("status":"started")", R"("status":"cancelled")",
       "subscription  2026-03-01..2026-04-01 cancelled"},
      {R"("status":"started")", R"("status":"canceled","ends_at":"2026-05-01")",
       "subscription  2026-03-01..2026-05-01 cancelled"},
      // What has ended does not end again.
      {R"("status":"started","ends_at":"2026-03-20")", R"("status":"cancelled")",
       "subscription  2026-03-01..2026-03-20 cancelled"},
      {R"("status":"started","ends_at":"2026-03-20")", R"("status":"expired")",
       "subscription  2026-03-01..2026-03-20"},
      // A renewal in time leaves no gap, one after the end begins anew.
      {R"("status":"started","ends_at":"2026-05-01")",
       R"("status":"renewed","starts_at":"2026-05-01","ends_at":"2026-07-01")",
       "subscription  2026-03-01..2026-07-01 renewed"},
      {R"("status":"started","ends_at":"2026-03-20")",
       R"("status":"renewed","ends_at":"2026-07-01")",
       "subscription  2026-04-01..2026-07-01 renewed"},
      {R"("status":"started","ends_at":"2026-05-01")", R"("status":"renewed")",
       "subscription  2026-03-01.. renewed"},
      {R"("status":"cancelled")", R"("status":"renewed","ends_at":"2026-07-01")",
       "subscription  2026-04-01..2026-07-01 renewed"},
      {R"("status":"renewed","ends_at":"2026-07-01")", R"("status":"started")",
       "subscription  2026-04-01.."},
      // Dates alone move the dates.
      {R"("status":"started","ends_at":"2026-05-01")", R"("ends_at":"2026-06-01")",
       "subscription  2026-03-01..2026-06-01"},
  }));
  CAPTURE(row.before, row.event);
  Terms customer;
  if (*row.before != '\0') customer.On(At("2026-03-01"), "subscription", row.before);
  customer.On(At("2026-04-01"), "subscription", row.event);
  CHECK(customer.Lines() == Lines{row.term});
}

TEST_CASE("term: events that say nothing of a term") {
  Terms customer;
  customer.On(kT, "support", R"("ticket":17)");
  customer.On(kT, "support", R"("status":"open","ends_at":"2026-05-01")");
  customer.On(kT, "subscription", R"("ends_at":"soon")");
  customer.On(kT, "purchase", R"("status":"started")");
  CHECK(customer.Lines() == Lines{});
}

TEST_CASE("term: plans and kinds are apart; news without them are about what changed last") {
  Terms customer;
  const EventTime day = At("2026-03-01");
  customer.On(day, "subscription", R"("status":"started","plan":"gold")");
  customer.On(day + Days(1), "subscription", R"("status":"started","plan":"box","kind":"product")");
  customer.On(day + Days(2), "contract", R"("status":"started","plan":"gold")");
  customer.On(day + Days(3), "subscription", R"("status":"cancelled","plan":"gold")");
  CHECK(customer.Lines() == Lines{"subscription box 2026-03-02.. product",
                                  "subscription gold 2026-03-01..2026-03-04 cancelled",
                                  "contract gold 2026-03-03.."});
  // Gold changed last of the subscriptions; a product is the box; and a beginning is a new one.
  customer.On(day + Days(4), "subscription", R"("status":"renewed","starts_at":"2026-03-04")");
  customer.On(day + Days(5), "subscription", R"("status":"cancelled","kind":"product")");
  customer.On(day + Days(6), "subscription", R"("status":"started")");
  CHECK(customer.Lines() == Lines{"subscription  2026-03-07..",
                                  "subscription box 2026-03-02..2026-03-06 product cancelled",
                                  "subscription gold 2026-03-01.. renewed",
                                  "contract gold 2026-03-03.."});
}

TEST_CASE("term: what is older than the newest news of a term changes nothing") {
  Terms customer;
  customer.On(At("2026-04-01"), "contract", R"("status":"cancelled")");
  customer.On(At("2026-03-01"), "contract", R"("status":"started")", At("2026-04-02"));
  CHECK(customer.Lines() == Lines{"contract  2026-04-01..2026-04-01 cancelled"});
  customer.On(At("2026-04-01"), "contract", R"("status":"started")", At("2026-04-02"));
  CHECK(customer.Lines() == Lines{"contract  2026-04-01.."});
}

TEST_CASE("term: runs from its start up to its end, without it") {
  const Term term{.starts_at = kT, .ends_at = kT + Days(1)};
  CHECK_FALSE(term.RunsAt(kT - Ms(1)));
  CHECK(term.RunsAt(kT));
  CHECK(term.RunsAt(kT + Days(1) - Ms(1)));
  CHECK_FALSE(term.RunsAt(kT + Days(1)));
  CHECK(Term{.starts_at = kT}.RunsAt(kT + Days(100'000)));
}

TEST_CASE("term: so many are remembered, and for so long") {
  Terms customer;
  for (int i = 0; i < 17; ++i) {
    customer.On(kT + Days(i), "contract",
                fmt::format(R"("status":"started","plan":"{:02}","ends_at":"2026-{:02}-01")", i,
                            i == 5 ? 6 : 9));
  }
  REQUIRE(customer.terms.size() == kTermsMax);
  for (const Term& term : customer.terms) CHECK(term.plan != "05");
  // 400 days after their end, with the next news of any.
  customer.On(At("2026-09-01") + kTermKept - Ms(1), "support", R"("status":"started")");
  CHECK(customer.terms.size() == kTermsMax);  // one more, one fewer
  customer.On(At("2026-09-01") + kTermKept, "support", R"("status":"renewed")");
  CHECK(customer.Lines() == Lines{"support  2027-10-05T23:59:59.999Z.. renewed"});
}

TEST_CASE("term: a plan's name is cut") {
  Terms customer;
  customer.On(kT, "contract",
              fmt::format(R"("status":"started","plan":"{}")", std::string(1000, 'x')));
  CHECK(customer.terms.at(0).plan.size() == kPlanBytesMax);
  customer.On(kT, "contract",
              fmt::format(R"("status":"cancelled","plan":"{}")", std::string(1000, 'x')));
  CHECK(customer.terms.size() == 1);
  CHECK(customer.terms[0].cancelled);
}

TEST_CASE("term: names") {
  for (const char* name : {"subscription", "support", "contract"})
    CHECK(NameOf(*TermTypeOf(std::string_view(name))) == name);
  CHECK_FALSE(TermTypeOf(std::string_view("purchase")));
}

TEST_CASE("moment: what a property may say") {
  const Calendar berlin = *Calendar::Make("Europe/Berlin");
  struct Row {
    const char* text;
    std::optional<double> number;
    std::optional<EventTime> moment;
  };
  const Row row = GENERATE(values<Row>({
      {"2026-03-01T09:00:00Z", {}, kT},
      {"2026-03-01T10:00:00+01:00", {}, kT},
      {"2026-03-01", {}, At("2026-02-28T23:00:00Z")},
      {"2026-07-01", {}, At("2026-06-30T22:00:00Z")},
      {"1772355600000", 1772355600000.0, kT},
      {"0", 0.0, At("1970-01-01")},
      {"1969-12-31", {}, At("1969-12-30T23:00:00Z")},
      {"1e300", 1e300, {}},
      {"soon", {}, {}},
      {"2026-13-01", {}, {}},
      {"", {}, {}},
  }));
  CAPTURE(row.text);
  const Property property{.id = 0, .text = row.text, .number = row.number};
  CHECK(MomentOf(&property, berlin) == row.moment);
  CHECK(MomentOf(nullptr, berlin) == std::nullopt);
}
