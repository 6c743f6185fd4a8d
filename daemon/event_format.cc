#include "daemon/event_format.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heartbeatd {
namespace {

// One place or several, of which the first that is there counts.
std::vector<JsonPointer> ReadPointers(MapReader& reader, std::string_view key) {
  std::vector<JsonPointer> out;
  for (const std::string& text : reader.Texts(key)) {
    std::optional<JsonPointer> pointer = ParseJsonPointer(text);
    if (pointer) {
      out.push_back(*std::move(pointer));
    } else {
      reader.ErrorAt(key, fmt::format("'{}' of {}: '{}' is no JSON pointer: write /user/id", key,
                                      reader.what(), text));
    }
  }
  if (reader.Has(key) && out.empty() && reader.Child(key)->kind == Node::Kind::kList)
    reader.ErrorAt(key, fmt::format("'{}' of {} names no place", key, reader.what()));
  return out;
}

// Where the messages have no shape that we know.
EventFormat ReadFields(const Node* node, Findings& findings) {
  EventFormat format;
  MapReader fields(node, "'fields' of 'input'", findings);
  static constexpr std::pair<std::string_view, EventField> kRequired[] = {
      {"type", EventField::kType},
      {"event_id", EventField::kEventId},
      {"customer_id", EventField::kCustomerId},
      {"timestamp", EventField::kTimestamp}};
  for (const auto& [key, field] : kRequired) {
    if (fields.Required(key) != nullptr) format.At(field) = ReadPointers(fields, key);
  }
  format.At(EventField::kAmount) = ReadPointers(fields, "amount");
  format.At(EventField::kCurrency) = ReadPointers(fields, "currency");
  const Node* properties = fields.Child("properties");
  if (properties != nullptr && properties->kind == Node::Kind::kMap) {
    MapReader named(properties, "'properties' of 'fields'", findings);
    for (const Node::Entry& entry : properties->map) {
      std::vector<JsonPointer> places = ReadPointers(named, entry.key);
      for (auto place = places.rbegin(); place != places.rend(); ++place)
        format.properties.emplace_back(entry.key, std::move(*place));
    }
  } else {
    format.At(EventField::kProperties) = ReadPointers(fields, "properties");
  }
  fields.Finish();
  return format;
}

void ReadTypes(MapReader& input, EventFormat* format) {
  const Node* types = input.Child("types");
  if (types == nullptr) return;
  if (types->kind != Node::Kind::kMap) {
    input.ErrorAt("types", "'types' of 'input' must be a map of names in messages and types");
    return;
  }
  for (const Node::Entry& entry : types->map) {
    if (entry.value.kind == Node::Kind::kScalar && !entry.value.scalar.empty()) {
      format->types[entry.key] = entry.value.scalar;
    } else {
      input.findings().Error(entry.value.place,
                             fmt::format("'{}' in 'types' of 'input' must be a type", entry.key));
    }
  }
}

}  // namespace

EventFormat ReadEventFormat(MapReader& input) {
  const size_t choice = input.Choice("format", {"flat", "segment", "cloudevents"}).value_or(0);
  EventFormat format = choice == 0   ? FlatFormat()
                       : choice == 1 ? SegmentFormat()
                                     : CloudEventsFormat();
  if (const Node* fields = input.Child("fields")) {
    if (input.Has("format"))
      input.ErrorAt("fields", "'fields' and 'format' of 'input' exclude each other: give one");
    format = ReadFields(fields, input.findings());
  }
  ReadTypes(input, &format);
  return format;
}

}  // namespace heartbeatd
