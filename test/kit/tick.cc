#include <cstdio>

#include "commands.h"
#include "text.h"

namespace kit {

void Tick(const TickOptions& options) {
  Producer producer(options.connection, {});
  const Partitions partitions = AllPartitions(producer.handle(), options.topics);
  for (int i = 0; i < partitions->cnt; ++i) {
    const rd_kafka_topic_partition_t& target = partitions->elems[i];
    std::string event = R"({"type":"tick","timestamp":)";
    AppendJsonString(event, options.timestamp);
    event += R"(,"event_id":)";
    AppendJsonString(event, "tick-" + std::string(target.topic) + "-" +
                                std::to_string(target.partition) + "-" + options.timestamp);
    event += '}';
    producer.Send(target.topic, target.partition, "", event);
  }
  producer.Flush();
  std::printf("{\"sent\":%d,\"timestamp\":\"%s\"}\n", partitions->cnt, options.timestamp.c_str());
}

}  // namespace kit
