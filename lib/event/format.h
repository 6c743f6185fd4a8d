// Where in a message each field of an event stands, and what its names of types mean here. Plain
// data, constant after configuration.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heartbeatd {

// The fields that mean something.
enum class EventField : uint8_t {
  kType,
  kEventId,
  kCustomerId,
  kTimestamp,
  kAmount,
  kCurrency,
  kProperties,
  kSource,  // whose event ids these are, if several producers count for themselves
};
inline constexpr size_t kEventFieldCount = 8;

// RFC 6901: the keys on the way from the document to a value, unescaped; none: the document.
using JsonPointer = std::vector<std::string>;
// "/user/id". Empty for anything else: a pointer begins with a slash, or is empty.
std::optional<JsonPointer> ParseJsonPointer(std::string_view text);

struct EventFormat {
  // Of each field, the places where it may stand: the first that is there (and not null) counts.
  std::array<std::vector<JsonPointer>, kEventFieldCount> places;
  // Properties that stand somewhere by themselves, by name; beside those of kProperties. Of equal
  // names the last one that is there counts.
  std::vector<std::pair<std::string, JsonPointer>> properties;
  // What types are called in messages; others stay as they are.
  std::map<std::string, std::string, std::less<>> types;
  // A message with the header ce_specversion has its attributes in headers; its payload is `data`.
  bool cloud_events = false;

  [[nodiscard]] const std::vector<JsonPointer>& At(EventField field) const {
    return places[static_cast<size_t>(field)];
  }
  std::vector<JsonPointer>& At(EventField field) { return places[static_cast<size_t>(field)]; }
};

// docs/events.md has an example of each.
EventFormat FlatFormat();
EventFormat SegmentFormat();
EventFormat CloudEventsFormat();

}  // namespace heartbeatd
