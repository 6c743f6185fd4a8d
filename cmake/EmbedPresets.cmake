# Writes ${OUTPUT}: the files of config/presets as C++ string constants, so that the binary needs no
# file beside it.
set(rows "")
foreach(file IN LISTS PRESETS)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} text)
  string(APPEND rows "    {\"${name}\", R\"__preset__(${text})__preset__\"},\n")
endforeach()
string(CONCAT code
  "#include \"daemon/presets.h\"\n\nnamespace heartbeatd {\nnamespace {\n\nconstexpr EmbeddedPreset kPresets[] = {\n"
  "${rows}};\n\n}  // namespace\n\nstd::span<const EmbeddedPreset> AllPresets() { return kPresets; }\n\n}  // namespace heartbeatd\n")
file(WRITE ${OUTPUT} "${code}")
