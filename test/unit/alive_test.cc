// The BG/NBD and Gamma-Gamma models against published numbers of CDNOW and against integrals of
// what they assume, and the alive detector that uses them.
#include <cmath>
#include <map>

#include "deadlines.h"
#include "detect/bg_nbd.h"
#include "event/json_lines.h"

using namespace heartbeatd;

namespace {

// Fader, Hardie, Lee (2005), table 2: maximum likelihood on the 2,357 customers of the CDNOW
// sample, weeks, first 39 of them.
constexpr BgNbd kCdnow{.r = 0.243, .alpha = 4.414, .a = 0.793, .b = 2.426};

double LogBeta(double a, double b) { return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b); }

// log of the likelihood of a history (their equation 6).
double LogLikelihood(const BgNbd& m, const PurchaseHistory& h) {
  const double x = h.repeats;
  double last = std::pow(m.alpha + h.observed, -(m.r + x));
  if (x > 0) last += m.a / (m.b + x - 1) * std::pow(m.alpha + h.last_repeat, -(m.r + x));
  return std::lgamma(m.r + x) - std::lgamma(m.r) + m.r * std::log(m.alpha) +
         std::lgamma(m.a + m.b) + std::lgamma(m.b + x) - std::lgamma(m.b) -
         std::lgamma(m.a + m.b + x) + std::log(last);
}

// E[Y(t) | alive at T] by Simpson's rule over p ~ Beta(a, b + x), with p = u^(1/a) to take the pole
// at 0 away; over the rate, Gamma(r + x, alpha + T), it is a closed form.
double ExpectedIfAlive(const BgNbd& m, const PurchaseHistory& h, double t) {
  const double x = h.repeats;
  const auto integrand = [&](double u) {
    const double p = std::pow(std::max(u, 1e-300), 1 / m.a);
    const double whole = m.alpha + h.observed;
    const double shape = m.r + x;
    // (1 - (whole/(whole + p t))^shape)/p, which is shape t/whole at p = 0.
    const double bought =
        p < 1e-12 ? shape * t / whole : -std::expm1(-shape * std::log1p(p * t / whole)) / p;
    return bought * std::pow(1 - p, m.b + x - 1) / m.a;
  };
  constexpr int kSteps = 200'000;
  double sum = integrand(0) + integrand(1);
  for (int i = 1; i < kSteps; ++i) sum += (i % 2 == 1 ? 4 : 2) * integrand(i / double{kSteps});
  return sum / (3 * kSteps) / std::exp(LogBeta(m.a, m.b + x));
}

// Purchases of the CDNOW sample: days since 1997-01-01, by customer.
const EventTime kCdnowDay0 = At("1997-01-01");

std::string RuleText(std::string_view fields) {
  return fmt::format(
      "measures: {{m: {{type: purchase, sum: amount}}}}\nrules:\n  - {{id: r, detector: alive, "
      "measure: m, bg_nbd: {{r: 0.243, alpha: 4.414, a: 0.793, b: 2.426, unit: 7d}}, {}}}\n",
      fields);
}

// Customer 0001 of the CDNOW sample in the first 39 weeks: x = 2, t_x = 30.43, T = 38.86.
OneCustomer Customer0001(std::string_view fields) {
  OneCustomer customer(RuleText(fields));
  for (const int day : {0, 17, 213}) customer.Purchase(kCdnowDay0 + Days(day), 29.8);
  customer.Take();  // gone, it seemed, between the last two
  return customer;
}

}  // namespace

TEST_CASE("alive: published numbers") {
  const PurchaseHistory history{.repeats = 2, .last_repeat = 30.43, .observed = 38.86};
  // Fader, Hardie, Lee: "Implementing the BG/NBD Model for Customer Base Analysis in Excel", 2005.
  CHECK(kCdnow.ExpectedPurchases(history, 39) == Approx(1.226).margin(0.0005));
  // 1/(1 + 0.793/3.426 (43.274/34.844)^2.243), by hand.
  CHECK(kCdnow.Alive(history) == Approx(0.7267).margin(0.0005));
  // Fader, Hardie (2013) give p = 6.25, q = 3.74, gamma = 15.44 for CDNOW; the population's mean is
  // p gamma/(q - 1), and the expected means of single customers lie between theirs and it.
  const GammaGamma money{.p = 6.25, .q = 3.74, .gamma = 15.44};
  CHECK(money.MeanValue(0, 0) == Approx(35.2190));
  CHECK(money.MeanValue(2, 2 * 22.35) == Approx(24.6637).margin(0.0005));
  CHECK(money.MeanValue(10'000, 10'000 * 20.0) == Approx(20).margin(0.01));
}

TEST_CASE("alive: measures know of the CDNOW sample what the literature knows") {
  // The log-likelihood at the published parameters is published too: -9582.4. It comes out only if
  // repeat purchases, recency and age of all 2,357 customers are those of the paper.
  const auto rules = RulesOf("measures: {m: {type: purchase, sum: amount}}\nrules: []\n");
  std::map<std::string, MeasureState> customers;
  EventDecoder decoder(rules->schema, {});
  Result<JsonLinesReader> lines =
      JsonLinesReader::Open(HEARTBEATD_TEST_DATA "/cdnow_sample.jsonl.gz");
  REQUIRE(lines);
  const EventTime end = kCdnowDay0 + Days(273);  // 1997-09-30 is the last day
  std::string_view line;
  Event event;
  std::map<std::string, MeasureState> a_year_and_a_half;
  while (*lines->Next(&line)) {
    REQUIRE_FALSE(decoder.Decode(line, &event));
    for (auto* states : {&customers, &a_year_and_a_half}) {
      if (states == &customers && event.time >= end) continue;
      Apply(rules->measures[0], rules->calendar, event, event.time, &(*states)[event.customer_id]);
    }
  }
  REQUIRE(customers.size() == 2357);
  double log_likelihood = 0;
  double expected = 0;
  double bought_after = 0;
  for (const auto& [id, state] : customers) {
    const auto weeks = [&](EventTime t) {
      return static_cast<double>((t - state.first).count()) / (7.0 * kMsPerDay);
    };
    const PurchaseHistory history{.repeats = state.cadence.days - 1.0,
                                  .last_repeat = weeks(state.last),
                                  .observed = weeks(end - Days(1))};
    log_likelihood += LogLikelihood(kCdnow, history);
    expected += kCdnow.ExpectedPurchases(history, 39);
    bought_after += a_year_and_a_half.at(id).cadence.days - state.cadence.days;
  }
  CHECK(log_likelihood == Approx(-9582.4).margin(0.1));
  // What the model foresees for the 39 weeks after is near what came; it is known to be too little.
  CHECK(expected == Approx(bought_after).epsilon(0.13));
  CHECK(expected < bought_after);
}

TEST_CASE("alive: formulas against integrals of what the model assumes") {
  const std::vector<BgNbd> models = {kCdnow,
                                     {.r = 2.5, .alpha = 30, .a = 1.4, .b = 7},
                                     {.r = 0.9, .alpha = 1.5, .a = 1, .b = 1.8},
                                     {.r = 1.2, .alpha = 10, .a = 0.2, .b = 3}};
  for (const BgNbd& model : models) {
    for (const double x : {0.0, 1.0, 3.0, 40.0}) {
      const PurchaseHistory history{.repeats = x, .last_repeat = x > 0 ? 20.0 : 0, .observed = 33};
      CAPTURE(model.a, x);
      // P(alive) is the share of "never left" in the likelihood.
      if (x > 0) {
        const double stayed = LogBeta(model.a, model.b + x) -
                              (model.r + x) * std::log(model.alpha + history.observed);
        const double left = LogBeta(model.a + 1, model.b + x - 1) -
                            (model.r + x) * std::log(model.alpha + history.last_repeat);
        CHECK(model.Alive(history) == Approx(1 / (1 + std::exp(left - stayed))));
      }
      for (const double t : {0.5, 10.0, 500.0}) {
        CAPTURE(t);
        const double alive = x > 0 ? model.Alive(history) : 1;
        CHECK(model.ExpectedPurchases(history, t) ==
              Approx(alive * ExpectedIfAlive(model, history, t)).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("alive: the moment at which P(alive) reaches a threshold") {
  for (const double below : {0.9, 0.5, 0.1, 0.001}) {
    PurchaseHistory history{.repeats = 4, .last_repeat = 12, .observed = 12};
    history.observed = kCdnow.FallsTo(history, below);
    CHECK(kCdnow.Alive(history) == Approx(below));
  }
}

TEST_CASE("alive: fires when P(alive) has fallen so far, and ends with a purchase") {
  OneCustomer customer = Customer0001("below: 0.7");
  customer.AdvanceTo(kCdnowDay0 + Days(272));  // 0.7267: see above
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kCdnowDay0 + Days(400));
  REQUIRE(customer.Take().size() == 1);
  const nlohmann::json alert = customer.taken[0];
  const nlohmann::json& data = alert["data"];
  CHECK(data["reason"] == "probably_gone");
  CHECK(data["p_alive"] == 0.7);
  CHECK(data["observed"]["repeats"] == 2);
  CHECK(data["threshold"]["below"] == 0.7);
  CHECK_FALSE(data.contains("clv"));
  const EventTime due = At(alert["time"].get<std::string>());
  CHECK(due == kCdnowDay0 + Ms(static_cast<int64_t>(std::ceil(
                                kCdnow.FallsTo({.repeats = 2, .last_repeat = 213 / 7.0}, 0.7) * 7 *
                                static_cast<double>(kMsPerDay)))));
  customer.Purchase(kCdnowDay0 + Days(401));
  CHECK(customer.Take() == Lines{"1998-02-06T00:00:00Z r resolved activity_resumed"});
  CHECK(customer.state.rules[0].due > customer.now);
}

TEST_CASE("alive: fallen so far before all time: gone with the purchase itself") {
  // As far as the configuration goes: (alpha + t_x) odds^(1/(r + x)) - alpha is about -alpha.
  OneCustomer customer(
      "measures: {m: {type: purchase}}\nrules:\n  - {id: r, detector: alive, measure: m, below: "
      "0.99, bg_nbd: {r: 0.01, alpha: 1e9, a: 1e9, b: 0.001, unit: 3650d}}\n");
  for (const int day : {0, 1}) customer.Purchase(kCdnowDay0 + Days(day));
  CHECK(customer.state.rules[0].due == kCdnowDay0 + Days(1) + Ms(1));
  customer.AdvanceTo(kCdnowDay0 + Days(2));
  CHECK(customer.Take().size() == 1);
}

TEST_CASE("alive: one-time buyers tell nothing, nor do those below minimum.repeats") {
  OneCustomer one(RuleText("below: 0.9"));
  one.Purchase(kCdnowDay0);
  one.Purchase(kCdnowDay0 + Hours(5));  // the same day is the same purchase
  one.AdvanceTo(kCdnowDay0 + Days(10'000));
  CHECK(one.Take() == Lines{});
  OneCustomer two = Customer0001("below: 0.5, minimum: {repeats: 3}");
  two.AdvanceTo(kCdnowDay0 + Days(10'000));
  CHECK(two.Take() == Lines{});
  OneCustomer enough = Customer0001("below: 0.5, minimum: {repeats: 2}");
  enough.AdvanceTo(kCdnowDay0 + Days(10'000));
  CHECK(enough.Take().size() == 1);
}

TEST_CASE("alive: expected purchases and what they are worth") {
  OneCustomer customer =
      Customer0001("below: 0.5, horizon: 273d, gamma_gamma: {p: 6.25, q: 3.74, gamma: 15.44}");
  customer.AdvanceTo(kCdnowDay0 + Days(3000));
  REQUIRE(customer.Take().size() == 1);
  const nlohmann::json data = customer.taken[0]["data"];
  const PurchaseHistory history{
      .repeats = 2,
      .last_repeat = 213 / 7.0,
      .observed = kCdnow.FallsTo({.repeats = 2, .last_repeat = 213 / 7.0}, 0.5)};
  const double expected = kCdnow.ExpectedPurchases(history, 39);
  const double value = GammaGamma{.p = 6.25, .q = 3.74, .gamma = 15.44}.MeanValue(3, 3 * 29.8);
  CHECK(data["horizon"] == "273d");
  CHECK(data["expected_purchases"].get<double>() == Approx(expected).epsilon(1e-5));
  CHECK(data["expected_value"].get<double>() == Approx(value).epsilon(1e-5));
  CHECK(data["clv"].get<double>() == Approx(value * expected).epsilon(1e-5));

  // Money of later is worth less: between all of it now and all of it at the end.
  OneCustomer discounted = Customer0001(
      "below: 0.5, horizon: 273d, discount: 0.2, gamma_gamma: {p: 6.25, q: 3.74, gamma: 15.44}");
  discounted.AdvanceTo(kCdnowDay0 + Days(3000));
  REQUIRE(discounted.Take().size() == 1);
  const double clv = discounted.taken[0]["data"]["clv"].get<double>();
  CHECK(clv < value * expected);
  CHECK(clv > value * expected * std::pow(1.2, -273 / 365.25));
  // A third of the year on average, since most of it is expected early.
  CHECK(clv == Approx(value * expected * std::pow(1.2, -0.36)).epsilon(0.02));
}

TEST_CASE("alive: a purchase that comes in late corrects") {
  OneCustomer customer = Customer0001("below: 0.7");
  customer.AdvanceTo(kCdnowDay0 + Days(400));
  REQUIRE(customer.Take().size() == 1);
  customer.Purchase(kCdnowDay0 + Days(220));
  CHECK(customer.Take() == Lines{"1998-02-05T00:00:00Z r resolved corrected"});
}

TEST_CASE("alive: deadlines miss nothing that looking every day sees") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  size_t alerts = 0;
  for (int round = 0; round < 100; ++round) {
    const int tenths = std::uniform_int_distribution<int>(1, 9)(random);
    const RandomLife life{
        .events = 30, .pace = 0.05, .uneven = 2, .quiet_after = 2000, .event = [](int i) {
          return fmt::format(R"("type":"purchase","amount":{})", i);
        }};
    CAPTURE(round, tenths);
    alerts += CompareLookers(RuleText(fmt::format("below: 0.{}, gamma_gamma: {{p: 6.25, q: 3.74, "
                                                  "gamma: 15.44}}",
                                                  tenths)),
                             life, random);
  }
  CHECK(alerts > 200);
}
