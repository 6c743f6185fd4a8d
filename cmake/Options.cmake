# hb::options: language level, warnings and instrumentation, as one INTERFACE target that every
# room links. Nothing here touches CMAKE_CXX_FLAGS.
add_library(hb_options INTERFACE)
add_library(hb::options ALIAS hb_options)
target_compile_features(hb_options INTERFACE cxx_std_23)
target_include_directories(hb_options INTERFACE ${PROJECT_SOURCE_DIR}/lib)
target_compile_options(hb_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wnull-dereference -Wimplicit-fallthrough
  # Designated initialisers leave the rest at its default on purpose.
  -Wno-missing-field-initializers
  -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms of GCC 12 about what it has inlined from std and Abseil. Sanitizers and clang-tidy look for the same.
  target_compile_options(hb_options INTERFACE -Wno-maybe-uninitialized -Wno-null-dereference -Wno-free-nonheap-object)
endif()
if(HEARTBEATD_WERROR)
  target_compile_options(hb_options INTERFACE -Werror)
endif()
# Also for generated code, which has its own warnings.
add_library(hb_sanitize INTERFACE)
if(HEARTBEATD_SANITIZE)
  target_compile_options(hb_sanitize INTERFACE -fsanitize=${HEARTBEATD_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(hb_sanitize INTERFACE -fsanitize=${HEARTBEATD_SANITIZE})
endif()
if(HEARTBEATD_FUZZ)
  target_compile_options(hb_sanitize INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_link_libraries(hb_options INTERFACE hb_sanitize)
if(HEARTBEATD_COVERAGE)
  target_compile_options(hb_options INTERFACE --coverage)
  target_link_options(hb_options INTERFACE --coverage)
endif()

# hb_room(NAME SOURCES ... LINKS ... PRIVATE_LINKS ...): one room of lib/ as a static library hb::NAME.
function(hb_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(hb_${name} STATIC ${ROOM_SOURCES})
  add_library(hb::${name} ALIAS hb_${name})
  target_link_libraries(hb_${name} PUBLIC hb::options ${ROOM_LINKS} PRIVATE ${ROOM_PRIVATE_LINKS})
endfunction()
