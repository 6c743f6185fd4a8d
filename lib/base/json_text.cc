#include "base/json_text.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

namespace heartbeatd {
namespace {

constexpr double kTwoTo53 = 9007199254740992.0;

bool IsWhole(double value) { return std::trunc(value) == value && std::abs(value) < kTwoTo53; }

void AppendInteger(int64_t value, std::string* out) {
  const fmt::format_int text(value);
  out->append(text.data(), text.size());
}

}  // namespace

void JsonText::Text(std::string_view name, std::string_view value) {
  Name(name);
  Quote(value);
}

void JsonText::Text(std::string_view value) {
  Separate();
  Quote(value);
}

void JsonText::Label(std::string_view name, std::string_view value) {
  Separate();
  Quote(name);
  out_ += ':';
  Quote(value);
}

void JsonText::Word(std::string_view name, std::string_view value) {
  Name(name);
  QuotePlain(value);
}

void JsonText::Word(std::string_view value) {
  Separate();
  QuotePlain(value);
}

void JsonText::Integer(std::string_view name, int64_t value) {
  Name(name);
  AppendInteger(value, &out_);
}

void JsonText::Number(std::string_view name, double value) {
  if (!std::isfinite(value)) {
    Null(name);
    return;
  }
  Name(name);
  if (IsWhole(value)) {
    if (value == 0 && std::signbit(value)) out_ += '-';
    AppendInteger(static_cast<int64_t>(value), &out_);
    out_ += ".0";
  } else {
    fmt::format_to(std::back_inserter(out_), FMT_COMPILE("{}"), value);
  }
}

void JsonText::Plain(std::string_view name, double value) {
  if (IsWhole(value)) {
    Integer(name, static_cast<int64_t>(value));
  } else {
    Number(name, value);
  }
}

void JsonText::Null(std::string_view name) {
  Name(name);
  out_ += "null";
}

void JsonText::Members(std::string_view object) {
  object = object.substr(1, object.size() - 2);
  if (object.empty()) return;
  Separate();
  out_ += object;
}

// No value ends in an opening bracket.
void JsonText::Separate() {
  if (!out_.empty() && out_.back() != '{' && out_.back() != '[' && out_.back() != ':') out_ += ',';
}

void JsonText::Name(std::string_view name) {
  Separate();
  out_ += '"';
  out_ += name;
  out_ += "\":";
}

void JsonText::Begin(char bracket) {
  Separate();
  out_ += bracket;
}

void JsonText::Begin(std::string_view name, char bracket) {
  Name(name);
  out_ += bracket;
}

void JsonText::Quote(std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
  });
  if (plain) {
    QuotePlain(text);
  } else {
    out_ += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
}

void JsonText::QuotePlain(std::string_view text) {
  out_ += '"';
  out_ += text;
  out_ += '"';
}

}  // namespace heartbeatd
