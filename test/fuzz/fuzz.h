// What the fuzz targets share. A target is one file that defines libFuzzer's entry point: it takes
// any bytes, and fails by dying. In the preset `fuzz` libFuzzer makes up the bytes; in every other
// build replay.cc feeds the files of corpus/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string_view>

#include "rules/ruleset.h"

// Always 0, as libFuzzer wants it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace heartbeatd::fuzz {

// Dies with a message if something does not hold that must hold whatever the input is.
void Require(bool holds, std::string_view what,
             std::source_location where = std::source_location::current());

inline std::string_view TextOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Takes an input apart. What is asked for beyond its end is 0 or empty.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(TextOf(data, size)) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  uint8_t Byte() { return static_cast<uint8_t>(Number(1)); }
  // Little-endian.
  uint64_t Number(size_t bytes);
  std::string_view Text(size_t size);
  std::string_view Rest() { return Text(rest_.size()); }

 private:
  std::string_view rest_;
};

// Rules that use everything a configuration offers; one set for the process. Thread-safe.
const std::shared_ptr<const RuleSet>& Rules();

}  // namespace heartbeatd::fuzz
