// Numbers as JSON and rules write them, and the one text that equal numbers share.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace heartbeatd {

// The end of the JSON number that starts at `pos`, or `pos` if there is none.
size_t JsonNumberEnd(std::string_view text, size_t pos);

// Room for any canonical number.
using NumberText = std::array<char, 32>;

// The canonical text of a number, as in Property::text: "3" for 3 and 3.0, "1000000" for 1e6,
// "2.5". A double must be finite. The view is into *buffer.
std::string_view CanonicalNumber(int64_t value, NumberText* buffer);
std::string_view CanonicalNumber(uint64_t value, NumberText* buffer);
std::string_view CanonicalNumber(double value, NumberText* buffer);

// What an unquoted value of a rule has to equal as a property's text: the canonical number if it is
// a JSON number, else the value itself ("app", "true", "007").
std::string CanonicalScalar(std::string_view value);

}  // namespace heartbeatd
