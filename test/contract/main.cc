// Catch2's main, and a second life of this program as the process that dies (see CrashWriter).
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <cstring>

#include "../contract/crash_writer.h"

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--crash-writer") == 0)
    return heartbeatd::CrashWriter(argv[2], argv[3]);
  return Catch::Session().run(argc, argv);
}
