// The presets of config/presets, built into the binary.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace heartbeatd {

struct EmbeddedPreset {
  std::string_view name;
  std::string_view text;  // YAML
};

std::span<const EmbeddedPreset> AllPresets();

}  // namespace heartbeatd
