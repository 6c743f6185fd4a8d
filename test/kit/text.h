// JSON and time as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kit {

// Appends bytes as a JSON string, quotes included. `bytes` must be UTF-8.
void AppendJsonString(std::string& out, std::string_view bytes);

// Appends the bytes' base64, without quotes.
void AppendBase64(std::string& out, std::string_view bytes);

// Appends `"name":` and the bytes as a JSON string; bytes that are not UTF-8 as `"name_base64":`.
void AppendJsonField(std::string& out, std::string_view name, std::string_view bytes);

// The bytes of such a field; nothing if it is no base64.
std::optional<std::string> FromBase64(std::string_view text);

bool IsUtf8(std::string_view bytes);

// The wall clock; milliseconds since 1970.
int64_t NowMs();

// "2026-03-01T09:00:00.123Z"; milliseconds since 1970.
std::string Rfc3339(int64_t unix_ms);

}  // namespace kit
