#include "base/time.h"

#include <cstdlib>

namespace heartbeatd {
namespace {

// Reads exactly `digits` decimal digits at `pos`; -1 if there is anything else.
int Digits(std::string_view text, size_t pos, size_t digits) {
  if (pos + digits > text.size()) return -1;
  int value = 0;
  for (size_t i = pos; i < pos + digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

// Milliseconds of a fraction that starts at `*pos` (at its dot), which is moved behind it.
int FractionMs(std::string_view text, size_t* pos) {
  int ms = 0;
  int scale = 100;
  size_t p = *pos + 1;
  const size_t first = p;
  for (; p < text.size() && text[p] >= '0' && text[p] <= '9'; ++p) {
    ms += (text[p] - '0') * scale;
    scale /= 10;
  }
  if (p == first) return -1;
  *pos = p;
  return ms;
}

// The zone's offset in minutes, if `text` from `pos` to its end is a zone.
std::optional<int> ZoneMinutes(std::string_view text, size_t pos) {
  if (pos + 1 == text.size() && (text[pos] == 'Z' || text[pos] == 'z')) return 0;
  if (pos + 6 != text.size() || (text[pos] != '+' && text[pos] != '-') || text[pos + 3] != ':')
    return {};
  const int hours = Digits(text, pos + 1, 2);
  const int minutes = Digits(text, pos + 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return {};
  return (text[pos] == '-' ? -1 : 1) * (hours * 60 + minutes);
}

// Appends so many decimal digits; every alert has five times, and a formatter takes ten times as
// long.
char* PutDigits(char* at, size_t digits, unsigned value) {
  for (size_t i = digits; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
  return at + digits;
}

}  // namespace

std::optional<EventTime> ParseRfc3339(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':')
    return {};
  if (text[10] != 'T' && text[10] != 't' && text[10] != ' ') return {};
  const int year = Digits(text, 0, 4);
  const int month = Digits(text, 5, 2);
  const int day = Digits(text, 8, 2);
  const int hour = Digits(text, 11, 2);
  const int minute = Digits(text, 14, 2);
  const int second = Digits(text, 17, 2);
  if (year < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0) return {};
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return {};
  size_t pos = 19;
  int ms = 0;
  if (text[pos] == '.') {
    ms = FractionMs(text, &pos);
    if (ms < 0 || pos >= text.size()) return {};
  }
  const std::optional<int> zone = ZoneMinutes(text, pos);
  if (!zone) return {};
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t seconds = (days * 24 + hour) * 3600 + (minute - *zone) * 60 + second;
  return EventTime(seconds * 1000 + ms);
}

std::string FormatRfc3339(EventTime t) {
  if (t == EventTime::Never()) return "never";
  int64_t days = t.ms() / kMsPerDay;
  int64_t ms = t.ms() % kMsPerDay;
  if (ms < 0) {
    ms += kMsPerDay;
    --days;
  }
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
  const auto ms_of_day = static_cast<unsigned>(ms);
  const unsigned seconds = ms_of_day / 1000;
  char text[48];
  char* end = text;
  const int year = static_cast<int>(date.year());
  if (year < 0) *end++ = '-';
  end = PutDigits(end, year < 10'000 && year > -10'000 ? 4 : 5,
                  static_cast<unsigned>(std::abs(year)));
  *end++ = '-';
  end = PutDigits(end, 2, static_cast<unsigned>(date.month()));
  *end++ = '-';
  end = PutDigits(end, 2, static_cast<unsigned>(date.day()));
  *end++ = 'T';
  end = PutDigits(end, 2, seconds / 3600);
  *end++ = ':';
  end = PutDigits(end, 2, seconds / 60 % 60);
  *end++ = ':';
  end = PutDigits(end, 2, seconds % 60);
  if (ms_of_day % 1000 != 0) {
    *end++ = '.';
    end = PutDigits(end, 3, ms_of_day % 1000);
  }
  *end++ = 'Z';
  return {text, end};
}

}  // namespace heartbeatd
