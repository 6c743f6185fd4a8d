#include "event/decoder.h"

#include <cmath>
#include <set>
#include <string>

#include "base/id.h"
#include "catch.h"
#include "event/number.h"

using namespace heartbeatd;

namespace {

using Refused = std::optional<DeadLetterReason>;

constexpr auto kBad = DeadLetterReason::kBadAmount;
constexpr auto kLarge = DeadLetterReason::kAmountTooLarge;

// A purchase in which one field is replaced (an empty value leaves it out) and others are added.
struct Purchase {
  std::string event_id = R"("e1")";
  std::string type = R"("purchase")";
  std::string customer_id = R"("c42")";
  std::string timestamp = R"("2026-03-01T09:00:00Z")";
  std::string amount = {};
  std::string currency = {};
  std::string properties = {};
  std::string more = {};

  [[nodiscard]] std::string Json() const {
    std::string out = "{\"source\":\"shop\"";
    const auto add = [&](const char* key, const std::string& value) {
      if (!value.empty()) out += std::string(",\"") + key + "\":" + value;
    };
    add("event_id", event_id);
    add("type", type);
    add("customer_id", customer_id);
    add("timestamp", timestamp);
    add("amount", amount);
    add("currency", currency);
    add("properties", properties);
    return out + more + "}";
  }
};

EventSchema Schema() {
  EventSchema schema;
  schema.AddType("login");
  schema.AddType("purchase");
  for (const char* name : {"channel", "level", "big", "flag"}) schema.AddProperty(name);
  return schema;
}

// Keeps its schema alive.
struct Decoder {
  EventSchema schema = Schema();
  EventDecoder flat{schema, std::nullopt};
  Event event;

  Refused operator()(std::string_view payload) { return flat.Decode(payload, &event); }
  // Of a property of the event; "absent" if it has none.
  [[nodiscard]] std::string TextOf(std::string_view property) const {
    const Property* found = event.Find(schema.PropertyOf(property));
    return found != nullptr ? found->text : "absent";
  }
};

std::string Repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

// An object nested `levels` deep, itself counted.
std::string Nested(size_t levels, const char* open, const char* close, const char* core) {
  return R"({"type":"tick","timestamp":0,"x":)" + Repeat(open, levels - 1) + core +
         Repeat(close, levels - 1) + "}";
}

}  // namespace

namespace Catch {
template <>
struct StringMaker<DeadLetterReason> {
  static std::string convert(DeadLetterReason reason) { return std::string(NameOf(reason)); }
};
}  // namespace Catch

TEST_CASE("decoder: a whole event") {
  Decoder decode;
  REQUIRE(
      decode(
          R"({"event_id":"e1","type":"purchase","customer_id":"c42","timestamp":"2026-03-01T09:00:00.5Z",
                     "amount":12.5,"currency":"EUR","properties":{"channel":"app","category":"books"},"more":[{}]})") ==
      Refused());
  CHECK(decode.event.id_hash == Hash64("e1"));
  CHECK(decode.event.customer_id == "c42");
  CHECK(decode.event.builtin == BuiltinType::kPurchase);
  CHECK(decode.event.type == 1);
  CHECK(decode.event.time == EventTime(1772355600500));
  CHECK(decode.event.amount_micros == 12'500'000);
  REQUIRE(decode.event.properties.size() == 1);  // `category` is in no rule
  CHECK(decode.event.properties[0].id == 0);
  CHECK(decode.event.properties[0].text == "app");
  CHECK_FALSE(decode.event.properties[0].number);
}

TEST_CASE("decoder: nothing of an earlier event remains") {
  Decoder decode;
  Purchase full;
  full.amount = "3";
  full.properties = R"({"channel":"app","level":1})";
  REQUIRE_FALSE(decode(full.Json()));
  REQUIRE(decode.event.properties.size() == 2);
  REQUIRE_FALSE(decode(Purchase{.type = R"("unheard of")"}.Json()));
  CHECK(decode.event.properties.empty());
  CHECK_FALSE(decode.event.amount_micros);
  CHECK(decode.event.builtin == BuiltinType::kOther);
  CHECK(decode.event.type == EventSchema::kUnknown);

  REQUIRE_FALSE(decode(full.Json()));
  CHECK(decode("{}"));
  CHECK(decode.event.customer_id.empty());
  CHECK(decode.event.properties.empty());
  CHECK(decode.event.time == EventTime());
}

TEST_CASE("decoder: not one JSON object in UTF-8") {
  Decoder decode;
  const std::string good = Purchase().Json();
  REQUIRE_FALSE(decode(good));
  const std::string payload = GENERATE_COPY(
      std::string(), std::string("   "), std::string("not json"), std::string("42"),
      std::string("\"text\""), std::string("null"), "[" + good + "]", good + "x", good + good,
      good + "]", good + std::string("\0x", 2), good.substr(0, good.size() - 1), good.substr(1),
      "{\"a\":NaN," + good.substr(1), "{\"a\":Infinity," + good.substr(1),
      "{\"a\":-Infinity," + good.substr(1), "{\"a\":01," + good.substr(1),
      "{\"a\":1.," + good.substr(1), "{\"a\":.5," + good.substr(1), "{\"a\":+1," + good.substr(1),
      "{\"a\":0x1," + good.substr(1), "{'a':1," + good.substr(1),
      "{\"a\":\"\xff\"," + good.substr(1), "{\"a\":\"\xc0\xaf\"," + good.substr(1),
      "{\"a\":\"\xed\xa0\x80\"," + good.substr(1), "{\"a\":\"\\ud800\"," + good.substr(1),
      "{\"a\":\"\\x\"," + good.substr(1), "{\"a\":\"\n\"," + good.substr(1), "{\"a\":1,}",
      "{\"a\" 1}", "{\"a\":1e999,\"b\":01," + good.substr(1), "{\"a\":001e999," + good.substr(1),
      std::string("{\"a\":12345678901234567890123"), std::string("\xff\xfe{\0}\0", 6));
  CAPTURE(payload);
  CHECK(decode(payload) == DeadLetterReason::kNotJson);
}

TEST_CASE("decoder: every prefix of an event is refused, and no byte in it can do harm") {
  Decoder decode;
  const std::string good =
      R"({"event_id":"e1","type":"purchase","customer_id":"c\u00e9","timestamp":1772355600000,)"
      R"("amount":-12.5e1,"properties":{"channel":["a",{"b":null}],"level":2.50}})";
  REQUIRE_FALSE(decode(good));
  for (size_t size = 0; size < good.size(); ++size) {
    if (decode(good.substr(0, size)) != DeadLetterReason::kNotJson)
      FAIL("a prefix of " << size << " bytes is accepted");
  }
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    std::string payload = good;
    for (uint64_t n = random() % 4 + 1; n > 0; --n)
      payload[random() % payload.size()] = static_cast<char>(random());
    if (decode(payload)) continue;
    if (decode.event.customer_id.empty() && decode.event.builtin != BuiltinType::kTick)
      FAIL("no customer: " << payload);
    if (decode.event.time < kEventTimeMin || decode.event.time >= kEventTimeMax)
      FAIL("its time: " << payload);
  }
}

TEST_CASE("decoder: a byte order mark is no harm") {
  Decoder decode;
  CHECK_FALSE(decode("\xEF\xBB\xBF" + Purchase().Json()));
  CHECK(decode("\xEF\xBB\xBF") == DeadLetterReason::kNotJson);
}

TEST_CASE("decoder: depth") {
  Decoder decode;
  CHECK_FALSE(decode(Nested(32, "[", "]", "1")));
  CHECK_FALSE(decode(Nested(32, "[", "]", "")));
  CHECK_FALSE(decode(Nested(32, "{\"a\":", "}", "null")));
  CHECK(decode(Nested(33, "[", "]", "1")) == DeadLetterReason::kTooDeep);
  CHECK(decode(Nested(33, "[", "]", "")) ==
        DeadLetterReason::kTooDeep);  // an empty list is a level, too
  CHECK(decode(Nested(33, "{\"a\":", "}", "null")) == DeadLetterReason::kTooDeep);
  CHECK(decode(Nested(34, "[", "]", "1")) == DeadLetterReason::kTooDeep);
  CHECK(decode(Nested(100'001, "[", "]", "1")) == DeadLetterReason::kTooDeep);
  CHECK(decode(Repeat("[", 100'000)) == DeadLetterReason::kNotJson);  // nothing is ever closed
  CHECK(decode(Repeat("{\"a\":", 50'000)) == DeadLetterReason::kNotJson);
  CHECK(decode(Repeat("[", 100'000) + Repeat("]", 100'000)) == DeadLetterReason::kTooDeep);
  CHECK_FALSE(
      decode(Nested(2, "[", "]", (Repeat("[],", 50'000) + "[]").c_str())));  // wide, not deep
}

TEST_CASE("decoder: length counts before anything else") {
  Decoder decode;
  const std::string good = Purchase().Json();
  CHECK_FALSE(decode(good + std::string(kPayloadBytesMax - good.size(), ' ')));
  CHECK(decode(good + std::string(kPayloadBytesMax - good.size() + 1, ' ')) ==
        DeadLetterReason::kTooLong);
  CHECK(decode(std::string(kPayloadBytesMax + 1, '[')) == DeadLetterReason::kTooLong);
  CHECK(decode(std::string(5'000'000, 'x')) == DeadLetterReason::kTooLong);
}

TEST_CASE("decoder: ids") {
  struct Row {
    const char* json;
    const char* text;  // null: refused
  };
  const Row row = GENERATE(values<Row>({
      {R"("c42")", "c42"},
      {R"(" ")", " "},
      {R"("a\nb\u0001")", "a\nb\x01"},
      {R"("Zo\u00eb")", "Zo\xC3\xAB"},
      {R"("\ud83d\ude00")", "\xF0\x9F\x98\x80"},
      {"42", "42"},
      {"-7", "-7"},
      {"-0", "0"},
      {"0", "0"},
      {"42.0", "42"},
      {"4.2e1", "42"},
      {"9223372036854775807", "9223372036854775807"},
      {"18446744073709551615", "18446744073709551615"},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
      {"\"\"", nullptr},
      {"null", nullptr},
      {"", nullptr},  // left out
      {"1.5", nullptr},
      {"1e300", nullptr},  // a double cannot tell it from its neighbours
      {"true", nullptr},
      {"{}", nullptr},
      {"[\"c42\"]", nullptr},
  }));
  CAPTURE(row.json);
  Decoder decode;
  const Refused by_event = decode(Purchase{.event_id = row.json}.Json());
  if (row.text != nullptr) {
    CHECK_FALSE(by_event);
    CHECK(decode.event.id_hash == Hash64(row.text));
  } else {
    CHECK(by_event == DeadLetterReason::kMissingEventId);
  }
  const Refused by_customer = decode(Purchase{.customer_id = row.json}.Json());
  if (row.text != nullptr) {
    CHECK_FALSE(by_customer);
    CHECK(decode.event.customer_id == row.text);
  } else {
    CHECK(by_customer == DeadLetterReason::kMissingCustomerId);
  }
}

TEST_CASE("decoder: a customer id with a NUL, and long ones") {
  Decoder decode;
  CHECK_FALSE(decode(Purchase{.customer_id = R"("a\u0000b")"}.Json()));
  CHECK(decode.event.customer_id == std::string("a\0b", 3));
  CHECK_FALSE(decode(Purchase{.customer_id = '"' + std::string(256, 'x') + '"'}.Json()));
  CHECK(decode(Purchase{.customer_id = '"' + std::string(257, 'x') + '"'}.Json()) ==
        DeadLetterReason::kCustomerIdTooLong);
  // Bytes count, not characters.
  CHECK(decode(Purchase{.customer_id = '"' + Repeat("\\u00e9", 129) + '"'}.Json()) ==
        DeadLetterReason::kCustomerIdTooLong);
  CHECK_FALSE(decode(Purchase{.event_id = '"' + std::string(10'000, 'x') + '"'}.Json()));
}

TEST_CASE("decoder: types") {
  Decoder decode;
  CHECK_FALSE(decode(Purchase{.type = R"("login")"}.Json()));
  CHECK(decode.event.builtin == BuiltinType::kLogin);
  CHECK(decode.event.type == 0);
  CHECK_FALSE(decode(Purchase{.type = R"("Purchase")"}.Json()));  // case counts
  CHECK(decode.event.builtin == BuiltinType::kOther);
  for (const char* bad : {"", "null", "\"\"", "7", "true", "[]", "{}"}) {
    CAPTURE(bad);
    CHECK(decode(Purchase{.type = bad}.Json()) == DeadLetterReason::kMissingType);
  }
}

TEST_CASE("decoder: timestamps") {
  struct Row {
    const char* json;
    std::optional<int64_t> ms;
  };
  const Row row = GENERATE(values<Row>({
      {R"("2026-03-01T09:00:00Z")", 1772355600000},
      {R"("2026-03-01T10:00:00.25+01:00")", 1772355600250},
      {"1772355600000", 1772355600000},
      {"1772355600000.0", 1772355600000},
      {"1.7723556e12", 1772355600000},
      {"0", 0},
      {"-1", -1},
      {"-2208988800000", kEventTimeMin.ms()},
      {"32503679999999", kEventTimeMax.ms() - 1},
      {R"("1900-01-01T00:00:00Z")", kEventTimeMin.ms()},
      {R"("2999-12-31T23:59:59.999Z")", kEventTimeMax.ms() - 1},
      {"-2208988800001", {}},
      {"32503680000000", {}},
      {R"("1899-12-31T23:59:59.999Z")", {}},
      {R"("3000-01-01T00:00:00Z")", {}},
      {R"("9999-12-31T23:59:59Z")", {}},
      {"1772355600000.5", {}},
      {"1e999", {}},
      {"1e300", {}},
      {"18446744073709551615", {}},
      {"123456789012345678901234567890", {}},
      {R"("1772355600000")", {}},
      {R"("yesterday")", {}},
      {R"("2026-03-01")", {}},
      {R"("")", {}},
      {"", {}},
      {"null", {}},
      {"true", {}},
      {"{}", {}},
  }));
  CAPTURE(row.json);
  Decoder decode;
  const Refused refused = decode(Purchase{.timestamp = row.json}.Json());
  if (row.ms) {
    CHECK_FALSE(refused);
    CHECK(decode.event.time == EventTime(*row.ms));
  } else {
    CHECK(refused == DeadLetterReason::kBadTimestamp);
  }
}

TEST_CASE("decoder: amounts") {
  struct Row {
    const char* json;
    std::optional<int64_t> micros;
    Refused refused;
  };
  const Row row = GENERATE(values<Row>({
      {"12.5", 12'500'000, {}},
      {"12", 12'000'000, {}},
      {"0", 0, {}},
      {"-0.0", 0, {}},
      {"-3.99", -3'990'000, {}},
      {"0.29", 290'000, {}},
      {"1.005", 1'005'000, {}},
      {"0.0000004", 0, {}},
      {"0.0000005", 1, {}},  // half away from zero
      {"-0.0000005", -1, {}},
      {"1e-400", 0, {}},
      {"1e11", kAmountMicrosMax, {}},
      {"100000000000", kAmountMicrosMax, {}},
      {"-100000000000", -kAmountMicrosMax, {}},
      {"1234567890.123456", 1'234'567'890'123'456, {}},
      {"", {}, {}},
      {"null", {}, {}},
      {"100000000001", {}, kLarge},
      {"-100000000001", {}, kLarge},
      {"1e300", {}, kLarge},
      {"9223372036854775807", {}, kLarge},
      {"18446744073709551615", {}, kLarge},
      {"18446744073709551616", {}, kLarge},  // beyond simdjson's integers
      {"-99999999999999999999999999999999", {}, kLarge},
      {"1e999", {}, kLarge},  // beyond a double: legal JSON all the same
      {"-1.5E+400", {}, kLarge},
      {"\"12.5\"", {}, kBad},
      {"\"1e999\"", {}, kBad},
      {"\"\"", {}, kBad},
      {"true", {}, kBad},
      {"[12.5]", {}, kBad},
      {"{}", {}, kBad},
  }));
  CAPTURE(row.json);
  Decoder decode;
  CHECK(decode(Purchase{.amount = row.json}.Json()) == row.refused);
  CHECK(decode.event.amount_micros == row.micros);
}

TEST_CASE("decoder: a number that is too large costs an event nothing where nobody looks") {
  Decoder decode;
  Purchase purchase;
  purchase.amount = "5";
  purchase.more =
      R"(,"trace":[340282366920938463463374607431768211456,{"a\"1e999":-1e999}],"text":"1e999 \" 1e999")";
  CHECK_FALSE(decode(purchase.Json()));
  CHECK(decode.event.amount_micros == 5'000'000);
  purchase.amount = "\"5\"";
  CHECK(decode(purchase.Json()) == DeadLetterReason::kBadAmount);
}

TEST_CASE("decoder: properties become canonical text") {
  struct Row {
    const char* json;
    const char* text;  // null: as if it were not there
    std::optional<double> number;
  };
  const Row row = GENERATE(values<Row>({
      {R"("app")", "app", {}},
      {R"("")", "", {}},
      {R"("3")", "3", {}},
      {R"("a\u0000")", "a", {}},  // compared as far as a C string goes, below
      {"3", "3", 3.0},
      {"3.0", "3", 3.0},
      {"-0.0", "0", 0.0},
      {"-0", "0", 0.0},
      {"30e-1", "3", 3.0},
      {"2.50", "2.5", 2.5},
      {"0.1", "0.1", 0.1},
      {"1e6", "1000000", 1e6},
      {"1000000", "1000000", 1e6},
      {"1e-7", "1e-07", 1e-7},
      {"1e22", "1e+22", 1e22},
      {"9007199254740993", "9007199254740993", 9007199254740992.0},
      {"18446744073709551615", "18446744073709551615", 18446744073709551615.0},
      {"18446744073709551616", "18446744073709551616", {}},
      {"1e999", "1e999", {}},
      {"true", "true", {}},
      {"false", "false", {}},
      {"null", nullptr, {}},
      {"{}", nullptr, {}},
      {R"({"level":3})", nullptr, {}},
      {"[3]", nullptr, {}},
  }));
  CAPTURE(row.json);
  Decoder decode;
  REQUIRE_FALSE(decode(
      Purchase{.properties = std::string(R"({"other":1,"level":)") + row.json + "}"}.Json()));
  const Property* property = decode.event.Find(decode.schema.PropertyOf("level"));
  REQUIRE((property != nullptr) == (row.text != nullptr));
  if (property == nullptr) return;
  CHECK(std::string(property->text.c_str()) == row.text);
  CHECK(property->number == row.number);
}

TEST_CASE("decoder: properties that are no object") {
  Decoder decode;
  CHECK_FALSE(decode(Purchase{.properties = "null"}.Json()));
  CHECK_FALSE(decode(Purchase{.properties = "{}"}.Json()));
  for (const char* bad : {"[]", "\"channel\"", "3", "true"}) {
    CAPTURE(bad);
    CHECK(decode(Purchase{.properties = bad}.Json()) == DeadLetterReason::kBadProperties);
  }
}

TEST_CASE("decoder: of equal keys the last one counts") {
  Decoder decode;
  CHECK_FALSE(decode(Purchase{.customer_id = R"("a","customer_id":"b")"}.Json()));
  CHECK(decode.event.customer_id == "b");
  CHECK(decode(Purchase{.customer_id = R"("a","customer_id":null)"}.Json()) ==
        DeadLetterReason::kMissingCustomerId);
  CHECK_FALSE(decode(Purchase{.properties = R"({"channel":"a","level":1,"channel":"b"})"}.Json()));
  CHECK(decode.event.properties.size() == 2);
  CHECK(decode.TextOf("channel") == "b");
  CHECK_FALSE(decode(Purchase{.properties = R"({"channel":"a","channel":null})"}.Json()));
  CHECK(decode.TextOf("channel") == "absent");
  CHECK_FALSE(decode(
      Purchase{.customer_id = R"("a","customer\u005fid":"b")"}.Json()));  // an escaped key is equal
  CHECK(decode.event.customer_id == "b");
}

TEST_CASE("decoder: currency") {
  const EventSchema schema = Schema();
  EventDecoder euro(schema, "EUR");
  EventDecoder any(schema, std::nullopt);
  Event event;
  struct Row {
    const char* json;
    bool accepted;
  };
  const Row row = GENERATE(values<Row>({{"", true},
                                        {"null", true},
                                        {"\"EUR\"", true},
                                        {"\"USD\"", false},
                                        {"\"eur\"", false},
                                        {"\"\"", false},
                                        {"978", false}}));
  CAPTURE(row.json);
  const std::string payload = Purchase{.currency = row.json}.Json();
  CHECK(euro.Decode(payload, &event) ==
        (row.accepted ? Refused() : DeadLetterReason::kOtherCurrency));
  CHECK_FALSE(any.Decode(payload, &event));
}

TEST_CASE("decoder: a tick needs only its time") {
  Decoder decode;
  REQUIRE_FALSE(
      decode(R"({"type":"tick","timestamp":5,"customer_id":"c","amount":"x","properties":7})"));
  CHECK(decode.event.builtin == BuiltinType::kTick);
  CHECK(decode.event.time == EventTime(5));
  CHECK(decode.event.customer_id.empty());
  CHECK(decode(R"({"type":"tick"})") == DeadLetterReason::kBadTimestamp);
}

TEST_CASE("decoder: forgetting a customer does not fail over a field that does not matter") {
  const EventSchema schema = Schema();
  EventDecoder decoder(schema, "EUR");
  Event event;
  CHECK_FALSE(decoder.Decode(
      Purchase{.type = R"("erase")", .amount = "\"x\"", .currency = "\"USD\"", .properties = "7"}
          .Json(),
      &event));
  CHECK(event.customer_id == "c42");
  CHECK_FALSE(event.amount_micros);
  CHECK(decoder.Decode(Purchase{.type = R"("erase")", .customer_id = ""}.Json(), &event) ==
        DeadLetterReason::kMissingCustomerId);
}

TEST_CASE("decoder: long and short events in turn") {
  Decoder decode;
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 2'000; ++i) {
    const std::string channel(random() % 3 == 0 ? random() % 20'000 : random() % 40, 'x');
    const std::string customer(1 + random() % 256, 'c');
    REQUIRE_FALSE(decode(Purchase{
        .customer_id = '"' + customer + '"',
        .properties = R"({"channel":")" + channel + R"(","level":)" + std::to_string(i) + "}"}
                             .Json()));
    REQUIRE(decode.event.customer_id == customer);
    REQUIRE(decode.TextOf("channel") == channel);
    REQUIRE(decode.TextOf("level") == std::to_string(i));
  }
}

TEST_CASE("event: names of reasons are the documented ones and all different") {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kDeadLetterReasonCount; ++i)
    names.insert(NameOf(static_cast<DeadLetterReason>(i)));
  CHECK(names == std::set<std::string_view>{"not_json", "too_deep", "too_long", "missing_event_id",
                                            "missing_customer_id", "customer_id_too_long",
                                            "missing_type", "bad_timestamp", "future_timestamp",
                                            "bad_amount", "amount_too_large", "bad_properties",
                                            "other_currency", "state_too_large", "poison"});
}

TEST_CASE("event: built-in types") {
  const std::vector<std::string> names = {
      "purchase", "refund",   "login",  "subscription", "support", "contract", "signup",
      "feedback", "referral", "review", "share",        "erase",   "tick"};
  for (size_t i = 0; i < names.size(); ++i)
    CHECK(BuiltinTypeOf(names[i]) == static_cast<BuiltinType>(i + 1));
  for (const char* other : {"", "session", "Tick", "tick ", "purchases"})
    CHECK(BuiltinTypeOf(other) == BuiltinType::kOther);
}

TEST_CASE("event: a schema numbers names in order and once") {
  EventSchema schema;
  CHECK(schema.AddType("a") == 0);
  CHECK(schema.AddType("b") == 1);
  CHECK(schema.AddType("a") == 0);
  CHECK(schema.TypeOf("b") == 1);
  CHECK(schema.TypeOf("c") == EventSchema::kUnknown);
  CHECK(schema.PropertyOf("a") == EventSchema::kUnknown);
}

TEST_CASE("number: what a rule says equals what a decoder reads") {
  struct Row {
    const char* rule;
    const char* text;
  };
  const Row row = GENERATE(values<Row>({
      {"3", "3"},
      {"3.0", "3"},
      {"-0", "0"},
      {"1e6", "1000000"},
      {"2.50", "2.5"},
      {"9007199254740993", "9007199254740993"},
      {"18446744073709551615", "18446744073709551615"},
      {"18446744073709551616", "18446744073709551616"},
      {"1e999", "1e999"},
      {"1e22", "1e+22"},
      {"app", "app"},
      {"true", "true"},
      {"", ""},
      {"007", "007"},
      {"+5", "+5"},
      {"1.", "1."},
      {".5", ".5"},
      {"1.2.3", "1.2.3"},
      {"nan", "nan"},
      {"inf", "inf"},
      {"-", "-"},
      {"0x10", "0x10"},
      {"1e", "1e"},
  }));
  CAPTURE(row.rule);
  CHECK(CanonicalScalar(row.rule) == row.text);
}

TEST_CASE("number: a decoder and a rule agree on any number") {
  Decoder decode;
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 5'000; ++i) {
    const double mantissa = std::ldexp(static_cast<double>(static_cast<int64_t>(random())),
                                       -static_cast<int>(random() % 64));
    const std::string literal =
        random() % 2 == 0 ? std::to_string(static_cast<int64_t>(random()) >> (random() % 64))
                          : std::to_string(mantissa) +
                                (random() % 2 == 0 ? "e" + std::to_string(random() % 40) : "");
    REQUIRE_FALSE(decode(Purchase{.properties = R"({"level":)" + literal + "}"}.Json()));
    const Property* property = decode.event.Find(decode.schema.PropertyOf("level"));
    REQUIRE(property != nullptr);
    if (property->text != CanonicalScalar(literal))
      FAIL(literal << ": " << property->text << " or " << CanonicalScalar(literal));
  }
}
