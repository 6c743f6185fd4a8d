#include "base/json_text.h"

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "given.h"

using namespace heartbeatd;

namespace {

// Behind `{"n":`, up to the bracket.
std::string Number(double value, void (JsonText::*method)(std::string_view, double)) {
  std::string text;
  JsonText to(&text);
  to.BeginObject();
  (to.*method)("n", value);
  to.EndObject();
  return text.substr(5, text.size() - 6);
}

}  // namespace

TEST_CASE("json text: members, elements and what lies in them are told apart") {
  std::string text;
  JsonText to(&text);
  to.BeginObject();
  to.Members("{}");
  to.BeginObject("empty");
  to.EndObject();
  to.BeginArray("list");
  to.Text("[");
  to.Word("b");
  to.BeginObject();
  to.Null("n");
  to.Integer("i", std::numeric_limits<int64_t>::min());
  to.EndObject();
  to.BeginObject();
  to.EndObject();
  to.EndArray();
  to.BeginArray("none");
  to.EndArray();
  to.Members(R"({"a":{"b":1},"c":2})");
  to.Label("a \"label\"", "{");
  to.Text("tail", "x:");
  to.EndObject();
  CHECK(text == R"({"empty":{},"list":["[","b",{"n":null,"i":-9223372036854775808},{}],"none":[],)"
                R"("a":{"b":1},"c":2,"a \"label\"":"{","tail":"x:"})");
}

TEST_CASE("json text: any bytes become a text that JSON can hold") {
  const auto written = [](std::string_view value) {
    std::string text;
    JsonText to(&text);
    to.BeginObject();
    to.Text("t", value);
    to.EndObject();
    return text;
  };
  CHECK(written("") == R"({"t":""})");
  CHECK(written("Zo\xC3\xAB") == "{\"t\":\"Zo\xC3\xAB\"}");
  CHECK(written("a\"b\\c\n\x01") == R"({"t":"a\"b\\c\n\u0001"})");
  CHECK(written("\xFF") == "{\"t\":\"\xEF\xBF\xBD\"}");
  CHECK(written("\x7F") == "{\"t\":\"\x7F\"}");
}

TEST_CASE("json text: numbers") {
  struct Row {
    double value;
    const char* number;
    const char* plain;
  };
  const double infinity = std::numeric_limits<double>::infinity();
  const Row row = GENERATE_COPY(values<Row>({
      {0, "0.0", "0"},
      {-0.0, "-0.0", "0"},
      {5, "5.0", "5"},
      {-12.5, "-12.5", "-12.5"},
      {0.1, "0.1", "0.1"},
      {1e-5, "1e-05", "1e-05"},
      {123456789, "123456789.0", "123456789"},
      {1e15, "1000000000000000.0", "1000000000000000"},
      {1e300, "1e+300", "1e+300"},
      {infinity, "null", "null"},
      {-infinity, "null", "null"},
      {std::nan(""), "null", "null"},
  }));
  CHECK(Number(row.value, &JsonText::Number) == row.number);
  CHECK(Number(row.value, &JsonText::Plain) == row.plain);
}

TEST_CASE("json text: a number that is read again is the same") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 100'000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    for (const auto method : {&JsonText::Number, &JsonText::Plain}) {
      const std::string text = Number(value, method);
      if (nlohmann::json::parse(text).get<double>() != value) FAIL(text);
    }
  }
}
