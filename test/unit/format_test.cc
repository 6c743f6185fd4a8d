// The same event in every format, and what only some of them can say.
#include "event/format.h"

#include <fmt/format.h>

#include "event/decoder.h"
#include "given.h"
#include "shard/intake.h"

using namespace heartbeatd;

namespace {

EventSchema Schema() {
  EventSchema schema;
  for (const char* type : {"purchase", "cart", "page"}) schema.AddType(type);
  for (const char* property : {"channel", "category"}) schema.AddProperty(property);
  return schema;
}

// Decodes as one format, with headers.
struct Reader {
  explicit Reader(EventFormat format, std::optional<std::string> currency = {})
      : decoder(schema, std::move(currency), std::move(format)) {}

  // "type customer time amount channel category", or why not.
  std::string Read(std::string_view payload, std::vector<MessageHeader> headers = {}) {
    if (const auto refused = decoder.Decode(payload, headers, &event))
      return std::string(NameOf(*refused));
    std::string out = fmt::format(
        "{} {} {}", event.type < 0 ? "?" : schema.types()[static_cast<size_t>(event.type)],
        event.customer_id, FormatRfc3339(event.time));
    if (event.amount_micros)
      out += fmt::format(" {}", static_cast<double>(*event.amount_micros) / kMicrosPerUnit);
    for (int property = 0; property < 2; ++property) {
      if (const Property* found = event.Find(property)) out += " " + found->text;
    }
    return out;
  }

  EventSchema schema = Schema();
  EventDecoder decoder;
  Event event;
};

const char* const kExpected = "purchase c42 2026-03-01T09:00:00Z 12.5 app books";

EventFormat Fields() {
  EventFormat format;
  format.At(EventField::kType) = {*ParseJsonPointer("/what")};
  format.At(EventField::kEventId) = {*ParseJsonPointer("/meta/id")};
  format.At(EventField::kCustomerId) = {*ParseJsonPointer("/who/0/id"), *ParseJsonPointer("/user")};
  format.At(EventField::kTimestamp) = {*ParseJsonPointer("/meta/at~1ms")};
  format.At(EventField::kAmount) = {*ParseJsonPointer("/cart/total")};
  format.At(EventField::kProperties) = {*ParseJsonPointer("")};
  format.properties = {{"category", *ParseJsonPointer("/cart/lines/0/category")}};
  format.types = {{"OrderPlaced", "purchase"}};
  return format;
}

}  // namespace

TEST_CASE("format: the same event in each") {
  CHECK(Reader(FlatFormat()).Read(R"({"event_id":"e1","type":"purchase","customer_id":"c42",
                      "timestamp":"2026-03-01T09:00:00Z","amount":12.5,
                      "properties":{"channel":"app","category":"books"}})") == kExpected);
  CHECK(Reader(SegmentFormat())
            .Read(R"({"type":"track","event":"Order Completed","messageId":"e1","userId":"c42",
                      "timestamp":"2026-03-01T09:00:00Z",
                      "properties":{"revenue":12.5,"channel":"app","category":"books"}})") ==
        kExpected);
  CHECK(Reader(CloudEventsFormat())
            .Read(R"({"specversion":"1.0","id":"e1","source":"/shop","type":"purchase",
                      "subject":"c42","time":"2026-03-01T09:00:00Z",
                      "data":{"amount":12.5,"properties":{"channel":"app","category":"books"}}})") ==
        kExpected);
  CHECK(Reader(CloudEventsFormat())
            .Read(R"({"amount":12.5,"channel":"app","category":"books"})",
                  {{"ce_specversion", "1.0"},
                   {"ce_id", "e1"},
                   {"ce_source", "/shop"},
                   {"ce_type", "purchase"},
                   {"ce_subject", "c42"},
                   {"ce_time", "2026-03-01T09:00:00Z"},
                   {"content-type", "application/json"}}) == kExpected);
  CHECK(Reader(Fields()).Read(
            R"({"what":"OrderPlaced","meta":{"id":7,"at/ms":1772355600000},"channel":"app",
                      "who":[{"id":"c42"}],"cart":{"total":12.5,"lines":[{"category":"books"}]}})") ==
        kExpected);
}

TEST_CASE("format: segment's other calls and names") {
  Reader reader(SegmentFormat());
  const auto read = [&](const char* fields) {
    return reader.Read(fmt::format(
        R"({{"messageId":"e","userId":"u","timestamp":"2026-03-01T09:00:00Z",{}}})", fields));
  };
  CHECK(read(R"("type":"page")") == "page u 2026-03-01T09:00:00Z");
  CHECK(read(R"("type":"track","event":"Product Viewed")") == "? u 2026-03-01T09:00:00Z");
  CHECK(reader.event.builtin == BuiltinType::kOther);
  CHECK(read(R"("type":"track","event":"Signed Up")") == "? u 2026-03-01T09:00:00Z");
  CHECK(reader.event.builtin == BuiltinType::kSignup);
  CHECK(read(R"("type":"track","event":"Order Refunded","properties":{"total":3})") ==
        "? u 2026-03-01T09:00:00Z 3");
  CHECK(reader.event.builtin == BuiltinType::kRefund);
  CHECK(read(R"("type":"page","anonymousId":"a")") == "page u 2026-03-01T09:00:00Z");
  CHECK(read(R"("type":"page","userId":null,"anonymousId":"a")") == "page a 2026-03-01T09:00:00Z");
  CHECK(read(R"("type":"page","userId":null)") == "missing_customer_id");
  CHECK(reader.Read(R"({"type":"page","messageId":"e","userId":"u","timestamp":null,
                        "originalTimestamp":"2026-03-01T09:00:00Z"})") ==
        "page u 2026-03-01T09:00:00Z");
}

TEST_CASE("format: cloud events of two sources may have the same ids") {
  Reader reader(CloudEventsFormat());
  const auto id_of = [&](const char* source, const char* id) {
    REQUIRE(reader.Read(fmt::format(R"({{"id":"{}","source":"{}","type":"cart","subject":"c",
                                         "time":"2026-03-01T09:00:00Z"}})",
                                    id, source)) == "cart c 2026-03-01T09:00:00Z");
    return reader.event.id_hash;
  };
  CHECK(id_of("/a", "1") == id_of("/a", "1"));
  CHECK(id_of("/a", "1") != id_of("/b", "1"));
  CHECK(id_of("/a", "1") != id_of("/a", "2"));
  // The same attributes in headers are the same event.
  const uint64_t structured = id_of("/a", "1");
  CHECK(reader.Read("", {{"ce_specversion", "1.0"},
                         {"ce_id", "1"},
                         {"ce_source", "/a"},
                         {"ce_type", "cart"},
                         {"ce_subject", "c"},
                         {"ce_time", "2026-03-01T09:00:00Z"}}) == "cart c 2026-03-01T09:00:00Z");
  CHECK(reader.event.id_hash == structured);
}

TEST_CASE("format: what is refused, and why, in cloud events") {
  struct Row {
    const char* payload;
    std::vector<MessageHeader> headers;
    const char* reason;
  };
  const std::vector<MessageHeader> all = {{"ce_specversion", "1.0"},
                                          {"ce_id", "1"},
                                          {"ce_type", "cart"},
                                          {"ce_subject", "c"},
                                          {"ce_time", "2026-03-01T09:00:00Z"}};
  const auto without = [&](std::string_view name) {
    std::vector<MessageHeader> headers = all;
    std::erase_if(headers, [&](const MessageHeader& h) { return h.name == name; });
    return headers;
  };
  const std::vector<Row> rows = {
      {"{}", all, "cart c 2026-03-01T09:00:00Z"},
      {"{", all, "not_json"},
      {"[]", all, "not_json"},
      {"{}, \"amount\":1", all, "not_json"},
      {"", without("ce_specversion"), "not_json"},  // structured, then
      {"{}", without("ce_type"), "missing_type"},
      {"{}", without("ce_id"), "missing_event_id"},
      {"{}", without("ce_subject"), "missing_customer_id"},
      {R"({"customer_id":"d"})", without("ce_subject"), "cart d 2026-03-01T09:00:00Z"},
      {"{}", without("ce_time"), "bad_timestamp"},
      {R"({"amount":"much"})", all, "bad_amount"},
      {R"({"properties":[]})", all, "bad_properties"},
      {R"({"currency":"USD"})", all, "other_currency"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.payload, row.headers.size());
    Reader reader(CloudEventsFormat(), "EUR");
    CHECK(reader.Read(row.payload, row.headers) == row.reason);
  }
}

TEST_CASE("format: bounds hold in each") {
  const std::string deep =
      fmt::format("{}1{}", std::string(kJsonDepthMax, '['), std::string(kJsonDepthMax, ']'));
  const std::string deeper = fmt::format(R"({{"x":{}}})", deep);
  const std::string longer(kPayloadBytesMax + 1, ' ');
  for (const EventFormat& format : {FlatFormat(), SegmentFormat(), CloudEventsFormat(), Fields()}) {
    Reader reader(format);
    CHECK(reader.Read(longer) == "too_long");
    CHECK(reader.Read(deeper) == "too_deep");
    CHECK(reader.Read("{}") == "missing_type");
    CHECK(reader.Read("17") == "not_json");
    CHECK(reader.Read("\xFF") == "not_json");
  }
}

TEST_CASE("format: of equal keys the last one counts, on the way to a value too") {
  Reader reader(Fields());
  CHECK(reader.Read(R"({"what":"cart","meta":{"id":1},"meta":{"id":2,"at/ms":1,"at/ms":0},
                        "user":"u","cart":{"total":1},"cart":{"total":2}})") ==
        "cart u 1970-01-01T00:00:00Z 2");
  // Nothing there, or null: the next place.
  CHECK(reader.Read(R"({"what":"cart","meta":{"id":1,"at/ms":0},"user":"u","who":[null]})") ==
        "cart u 1970-01-01T00:00:00Z");
  CHECK(
      reader.Read(R"({"what":"cart","meta":{"id":1,"at/ms":0},"user":"u","who":[{"id":null}]})") ==
      "cart u 1970-01-01T00:00:00Z");
  CHECK(reader.Read(
            R"({"what":"cart","meta":{"id":1,"at/ms":0},"user":"u","who":{"0":{"id":"v"}}})") ==
        "cart v 1970-01-01T00:00:00Z");
}

TEST_CASE("format: one key for two fields") {
  EventFormat format = FlatFormat();
  format.At(EventField::kEventId) = {{"timestamp"}};
  format.At(EventField::kCurrency) = {};
  Reader reader(format);
  CHECK(reader.Read(R"({"type":"cart","customer_id":"u","timestamp":5000})") ==
        "cart u 1970-01-01T00:00:05Z");
}

TEST_CASE("format: JSON pointers") {
  CHECK(ParseJsonPointer("") == JsonPointer{});
  CHECK(ParseJsonPointer("/a/b") == JsonPointer{"a", "b"});
  CHECK(ParseJsonPointer("/") == JsonPointer{""});
  CHECK(ParseJsonPointer("/a~1b/~0/~01") == JsonPointer{"a/b", "~", "~1"});
  for (const char* bad : {"a", "a/b", "/~", "/~2", "/a~"})
    CHECK(ParseJsonPointer(bad) == std::nullopt);
}

TEST_CASE("format: the intake reads headers where they matter") {
  const EventSchema schema = Schema();
  for (const bool binary : {true, false}) {
    Intake intake(schema, {}, {0}, binary ? CloudEventsFormat() : FlatFormat());
    InputRecord record{.topic = "events", .offset = 0, .payload = std::string_view()};
    record.read_headers = [](const void*) {
      return std::vector<Header>{{"ce_specversion", "1.0"},
                                 {"ce_id", "1"},
                                 {"ce_type", "cart"},
                                 {"ce_subject", "c42"},
                                 {"ce_time", "2026-03-01T09:00:00Z"}};
    };
    intake.Offer(0, std::move(record), {});
    REQUIRE(intake.Head() != nullptr);
    CHECK(intake.Head()->refused.has_value() != binary);
    if (binary) CHECK(intake.Head()->event.customer_id == "c42");
  }
}
