// heartbeatd-kit: what the tests, the demo and the benchmark need to do with Kafka topics. See
// `heartbeatd-kit --help`.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "commands.h"

namespace kit {
namespace {

constexpr int kExitUsage = 2;

// "a=b" options into a map. Ends the process at one without "=".
std::map<std::string, std::string> Pairs(const std::vector<std::string>& arguments) {
  std::map<std::string, std::string> pairs;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    if (equals == std::string::npos) Die("expected NAME=VALUE, not " + argument);
    pairs[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  return pairs;
}

class CommandLine {
 public:
  CommandLine() {
    app_.require_subcommand(1);
    app_.add_option("-b,--brokers", connection_.brokers, "host:port, comma-separated")
        ->envname("HEARTBEATD_BROKERS")
        ->capture_default_str();
    app_.add_option("-X", properties_, "a librdkafka property, NAME=VALUE; may repeat");
    app_.fallthrough();
    AddCreateTopics();
    AddDeleteTopics();
    AddDeleteRecords();
    AddResetOffsets();
    AddConfig();
    AddFeed();
    AddSend();
    AddTick();
    AddDump();
    AddDumpState();
    AddLoadState();
    AddOffsets();
    AddGenerate();
    AddDiscard();
    AddLatency();
  }

  int Run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? 0 : kExitUsage;
    }
    connection_.properties = Pairs(properties_);
    command_();
    return 0;
  }

 private:
  CLI::App* Verb(const std::string& name, const std::string& description,
                 std::function<void()> command) {
    CLI::App* verb = app_.add_subcommand(name, description);
    verb->callback([this, command = std::move(command)] { command_ = command; });
    return verb;
  }

  void AddCreateTopics() {
    CLI::App* verb = Verb("create-topics", "create topics that are missing", [this] {
      create_.connection = connection_;
      create_.configuration = Pairs(configuration_);
      CreateTopics(create_);
    });
    verb->add_option("topics", create_.topics)->required();
    verb->add_option("--partitions", create_.partitions)
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    verb->add_option("--config", configuration_, "of the topics, NAME=VALUE; may repeat");
  }

  void AddDeleteTopics() {
    CLI::App* verb = Verb("delete-topics", "delete topics", [this] {
      delete_topics_.connection = connection_;
      DeleteTopics(delete_topics_);
    });
    verb->add_option("topics", delete_topics_.topics)->required();
  }

  void AddDeleteRecords() {
    CLI::App* verb =
        Verb("delete-records", "delete the oldest messages of a topic, as retention does", [this] {
          delete_records_.connection = connection_;
          DeleteRecords(delete_records_);
        });
    verb->add_option("topic", delete_records_.topic)->required();
    verb->add_option("--keep", delete_records_.keep, "that many newest offsets of each partition")
        ->capture_default_str();
  }

  void AddResetOffsets() {
    CLI::App* verb =
        Verb("reset-offsets", "move or delete a group's committed offsets of a topic", [this] {
          reset_offsets_.connection = connection_;
          ResetOffsets(reset_offsets_);
        });
    verb->add_option("group", reset_offsets_.group)->required();
    verb->add_option("topic", reset_offsets_.topic)->required();
    verb->add_option("--to", reset_offsets_.to, "begin, end or nothing")
        ->required()
        ->transform(CLI::CheckedTransformer(std::map<std::string, ResetTo>{
            {"begin", ResetTo::kBegin}, {"end", ResetTo::kEnd}, {"nothing", ResetTo::kNothing}}));
  }

  void AddConfig() {
    CLI::App* verb = Verb("config", "print a topic's configuration", [this] {
      config_.connection = connection_;
      Config(config_);
    });
    verb->add_option("topic", config_.topic)->required();
  }

  void AddFeed() {
    CLI::App* verb = Verb("feed", "send JSON lines, keyed by customer_id", [this] {
      feed_.connection = connection_;
      feed_.route = Pairs(route_);
      Feed(feed_);
    });
    verb->add_option("file", feed_.file, "plain or .gz; - is standard input")->required();
    verb->add_option("--topic", feed_.topic)->required();
    verb->add_option("--route", route_, "TYPE=TOPIC: events of this type go there; may repeat");
    verb->add_option("--rate", feed_.rate, "events per second; 0 = unlimited")
        ->capture_default_str();
    verb->add_option("--skip", feed_.skip, "leave out that many lines first")
        ->capture_default_str();
    verb->add_option("--limit", feed_.limit, "send at most that many");
    verb->add_option("--progress", feed_.progress, "none, bar (for people) or json (for programs)")
        ->transform(CLI::CheckedTransformer(std::map<std::string, Progress>{
            {"none", Progress::kNone}, {"bar", Progress::kBar}, {"json", Progress::kJson}}));
  }

  void AddSend() {
    CLI::App* verb =
        Verb("send", "send messages exactly as described, in the form of dump", [this] {
          send_.connection = connection_;
          Send(send_);
        });
    verb->add_option("topic", send_.topic)->required();
    verb->add_option("file", send_.file, "plain or .gz; - is standard input")->required();
    verb->add_option("--transaction", send_.transaction, "all in one that ends so: commit or abort")
        ->transform(CLI::CheckedTransformer(std::map<std::string, Transaction>{
            {"commit", Transaction::kCommit}, {"abort", Transaction::kAbort}}));
  }

  void AddTick() {
    CLI::App* verb =
        Verb("tick", "send an event that only moves the clock to every partition", [this] {
          tick_.connection = connection_;
          Tick(tick_);
        });
    verb->add_option("topics", tick_.topics)->required();
    verb->add_option("--timestamp", tick_.timestamp, "RFC 3339")->required();
  }

  void AddDump() {
    CLI::App* verb =
        Verb("dump", "print a topic up to its present end, a line of JSON per message", [this] {
          dump_.connection = connection_;
          Dump(dump_);
        });
    verb->add_option("topic", dump_.topic)->required();
    verb->add_option("--isolation", dump_.isolation)
        ->check(CLI::IsMember({"read_committed", "read_uncommitted"}))
        ->capture_default_str();
    verb->add_flag("--follow", dump_.follow, "go on for ever");
    verb->add_flag("--values-only", dump_.values_only, "the bare values");
    verb->add_option("--timeout", dump_.timeout_seconds, "seconds in which the end must be reached")
        ->capture_default_str();
  }

  void AddDumpState() {
    CLI::App* verb = Verb("dump-state", "print the local state of a daemon that has ended",
                          [this] { DumpState(state_directory_); });
    verb->add_option("directory", state_directory_, "its state.directory")->required();
  }

  void AddLoadState() {
    CLI::App* verb = Verb("load-state",
                          "put lines of dump-state into the local state of a daemon that has ended",
                          [this] { LoadState(state_directory_, state_file_); });
    verb->add_option("directory", state_directory_, "its state.directory")->required();
    verb->add_option("file", state_file_, "- for standard input")->required();
  }

  void AddOffsets() {
    CLI::App* verb =
        Verb("offsets", "print begin, stable, end and a group's committed offset of each partition",
             [this] {
               offsets_.connection = connection_;
               Offsets(offsets_);
             });
    verb->add_option("topics", offsets_.topics)->required();
    verb->add_option("--group", offsets_.group);
    verb->add_option("--wait", offsets_.wait_seconds,
                     "print sums until the group has consumed all; fail after that many seconds");
    verb->add_option("--interval-ms", offsets_.interval_ms, "between two looks while waiting")
        ->capture_default_str();
  }

  void AddGenerate() {
    CLI::App* verb = Verb("generate", "fill a topic with the benchmark's load", [this] {
      generate_.connection = connection_;
      Generate(generate_);
    });
    CLI::Option* topic = verb->add_option("topic", generate_.topic);
    verb->add_option("--file", generate_.file, "write JSON lines into it instead of to a topic")
        ->excludes(topic);
    verb->add_option("--events", generate_.events)
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    verb->add_option("--customers", generate_.customers)
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    verb->add_option("--days", generate_.days, "of event time, evenly filled")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    verb->add_option("--seed", generate_.seed)->capture_default_str();
    verb->add_flag("--everybody-first", generate_.everybody_first,
                   "the first events are one of each customer");
    verb->add_flag("--uniform", generate_.uniform, "all customers come equally often");
    verb->add_option("--seconds", generate_.seconds, "of event time, instead of --days")
        ->check(CLI::PositiveNumber);
    verb->add_option("--end-ms", generate_.end_ms,
                     "where event time ends, in milliseconds since 1970 (default: 2026-01-01)");
    verb->add_option("--live", generate_.live_rate,
                     "so many events per second, stamped with the present time");
  }

  void AddDiscard() {
    CLI::App* verb =
        Verb("discard", "read a topic and throw it away; print events per second", [this] {
          discard_.connection = connection_;
          Discard(discard_);
        });
    verb->add_option("topic", discard_.topic)->required();
  }

  void AddLatency() {
    CLI::App* verb =
        Verb("latency", "how long after their time alerts are there to be read", [this] {
          latency_.connection = connection_;
          Latency(latency_);
        });
    verb->add_option("topic", latency_.topic)->required();
    verb->add_option("--seconds", latency_.seconds)->capture_default_str();
    verb->add_option("--skip-seconds", latency_.skip_seconds, "at first")->capture_default_str();
    verb->add_option("--alerts", latency_.alerts_max, "end as soon as so many have come");
  }

  CLI::App app_{
      "Feeds, dumps and measures Kafka topics for heartbeatd's tests, demo and benchmark.",
      "heartbeatd-kit"};
  Connection connection_{.brokers = "127.0.0.1:9092", .properties = {}};
  std::vector<std::string> properties_;
  std::vector<std::string> configuration_;
  std::vector<std::string> route_;
  CreateTopicsOptions create_;
  DeleteTopicsOptions delete_topics_;
  DeleteRecordsOptions delete_records_;
  ResetOffsetsOptions reset_offsets_;
  ConfigOptions config_;
  FeedOptions feed_;
  SendOptions send_;
  TickOptions tick_;
  DumpOptions dump_;
  std::string state_directory_;
  std::string state_file_;
  OffsetsOptions offsets_;
  GenerateOptions generate_;
  DiscardOptions discard_;
  LatencyOptions latency_;
  std::function<void()> command_;
};

}  // namespace
}  // namespace kit

int main(int argc, char** argv) {
  const int code = kit::CommandLine().Run(argc, argv);
  std::fflush(stdout);
  return code;
}
