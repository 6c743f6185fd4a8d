// From values of a JSON document (or of a message's headers) to the parts of an event. Private to
// the room: simdjson stays behind it.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "event/event.h"
#include "event/number.h"

namespace heartbeatd {

// What stands at a field's place: a JSON value other than null, or a header's text. Views live as
// long as the message.
struct FieldValue {
  std::optional<simdjson::dom::element> element;
  std::optional<std::string_view> header;

  [[nodiscard]] bool present() const { return element || header; }
  // The text, if it is one.
  [[nodiscard]] std::optional<std::string_view> Text() const {
    std::string_view text;
    if (element && element->get(text) == simdjson::SUCCESS) return text;
    return header;
  }
};

// Copies `json` with every number that simdjson cannot represent (over 64 bits, or 1e999) put in
// quotes. They are legal JSON: a field that nobody asked for must not cost the event, and an id of
// thirty digits must stay exact. False if there is none.
bool QuoteHugeNumbers(std::string_view json, std::string* out);

// An object or an array.
inline bool IsContainer(simdjson::dom::element value) {
  return value.is_object() || value.is_array();
}

// Whether `value` has more than `levels` levels of objects and arrays. The parser has already
// bounded the recursion.
bool Deeper(simdjson::dom::element value, size_t levels);

// An id: text as it is, or the decimal digits of a whole number; empty if it is neither. The view
// is into the message or into *buffer.
std::string_view IdText(const FieldValue& field, NumberText* buffer);

// RFC 3339 text or epoch milliseconds; empty if it is neither, or out of range.
std::optional<EventTime> TimestampOf(const FieldValue& field);

// Fills event->amount_micros if there is an amount.
std::optional<DeadLetterReason> ReadAmount(const FieldValue& field, bool numbers_were_quoted,
                                           Event* event);

// False for what has no text: null, objects, arrays.
bool ReadProperty(simdjson::dom::element value, Property* property);

}  // namespace heartbeatd
