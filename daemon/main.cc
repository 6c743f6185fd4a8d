// The command line: parses it, runs one command, turns its error into a message and an exit code.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "daemon/app.h"
#include "daemon/backtest.h"
#include "daemon/config.h"
#include "daemon/log.h"
#include "rules/yaml.h"

// Read by jemalloc. What is freed shall be the system's again soon, since the memory budget is for
// what is in use (docs/architecture.md, "Memory"). But not before the next large transaction, a
// second or so later, asks for it again: to give pages back and forth was a tenth of the CPU.
extern "C" const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:4000,muzzy_decay_ms:0";

namespace heartbeatd {
namespace {

Status RunCheck(const std::vector<std::string>& configs, bool print) {
  Result<LoadedConfig> config = LoadConfig(configs, ConfigUse::kRun);
  if (!config) return std::unexpected(std::move(config.error()));
  for (const std::string& warning : config->warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (print) {
    fmt::print("{}", PrintYaml(config->effective));
  } else {
    fmt::print("ok: {} measures, {} rules\n", config->rules->named_measures,
               config->rules->rules.size());
  }
  return {};
}

void AddConfigs(CLI::App* command, std::vector<std::string>* configs) {
  command->add_option("--config", *configs, "Configuration file; may repeat, later ones override")
      ->required();
}

int Main(int argc, char** argv) {
  CLI::App app{
      "Watches every customer's heartbeat on a Kafka event stream and says when it changes.",
      "heartbeatd"};
  std::string log_level = "info";
  std::string log_format = "text";
  app.add_option("--log-level", log_level, "trace, debug, info, warn, error")
      ->capture_default_str();
  app.add_option("--log-format", log_format, "text or json")->capture_default_str();
  app.set_version_flag("--version", "heartbeatd " HEARTBEATD_VERSION);
  app.require_subcommand(1);
  app.fallthrough();

  std::vector<std::string> configs;
  bool print = false;
  BacktestOptions backtest;

  CLI::App* run = app.add_subcommand("run", "Run the daemon");
  AddConfigs(run, &configs);
  bool accept_lost_input = false;
  run->add_flag("--accept-lost-input", accept_lost_input,
                "Go on at the earliest offset where the wanted one is gone");
  CLI::App* check = app.add_subcommand("check", "Validate the configuration");
  AddConfigs(check, &configs);
  check->add_flag("--print", print, "Print the effective configuration");
  CLI::App* back = app.add_subcommand("backtest", "Run events of a file through the rules");
  AddConfigs(back, &backtest.configs);
  back->add_option("--input", backtest.input,
                   "JSON lines, plain, .gz or .zst; - for standard input")
      ->required();
  back->add_option("--until", backtest.until, "End, RFC 3339; default: the time of the last event");
  back->add_option("--alerts", backtest.alerts,
                   "Write the alerts here, one a line; - for standard output");
  back->add_option("--format", backtest.format, "Of the summary")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  Status status = SetUpLogging(log_level, log_format);
  if (status && run->parsed())
    status = RunDaemon({.configs = configs, .accept_lost_input = accept_lost_input});
  if (status && check->parsed()) status = RunCheck(configs, print);
  if (status && back->parsed()) status = RunBacktest(backtest);
  if (status) return 0;
  fmt::print(stderr, "{}\n", status.error().message);
  return static_cast<int>(status.error().code);
}

}  // namespace
}  // namespace heartbeatd

int main(int argc, char** argv) { return heartbeatd::Main(argc, argv); }
