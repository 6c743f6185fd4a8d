#include <simdjson.h>

#include <array>
#include <cstdio>
#include <optional>
#include <utility>

#include "commands.h"
#include "lines.h"
#include "text.h"

namespace kit {
namespace {

constexpr int kTransactionTimeoutMs = 30'000;

struct Described {
  int32_t partition = RD_KAFKA_PARTITION_UA;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::string>> headers;
};

// The bytes of a string field called `name`, or `name`_base64. Absent: null or not there.
std::optional<std::string> BytesOf(std::string_view name, const simdjson::dom::element& field,
                                   bool base64) {
  if (field.is_null()) return std::nullopt;
  std::string_view text;
  if (field.get(text) != simdjson::SUCCESS) Die(std::string(name) + " must be a string or null");
  if (!base64) return std::string(text);
  std::optional<std::string> bytes = FromBase64(text);
  if (!bytes) Die(std::string(name) + "_base64 is no base64");
  return bytes;
}

// "name_base64" -> "name", true.
std::pair<std::string_view, bool> Split(std::string_view name) {
  constexpr std::string_view kSuffix = "_base64";
  if (!name.ends_with(kSuffix)) return {name, false};
  return {name.substr(0, name.size() - kSuffix.size()), true};
}

Described Parse(simdjson::dom::parser& parser, const std::string& line) {
  simdjson::dom::object object;
  if (parser.parse(line).get(object) != simdjson::SUCCESS) Die("send: a line is no JSON object");
  Described out;
  for (const auto& [field_name, field] : object) {
    const auto [name, base64] = Split(field_name);
    if (name == "key") out.key = BytesOf(name, field, base64);
    if (name == "value") out.value = BytesOf(name, field, base64);
    if (int64_t number = 0; name == "partition" && field.get(number) == simdjson::SUCCESS) {
      out.partition = static_cast<int32_t>(number);
    }
    simdjson::dom::object headers;
    if (name != "headers" || field.get(headers) != simdjson::SUCCESS) continue;
    for (const auto& [full_name, value] : headers) {
      const auto [header, header_base64] = Split(full_name);
      out.headers.emplace_back(header, BytesOf(header, value, header_base64).value_or(""));
    }
  }
  return out;
}

rd_kafka_vu_t Field(rd_kafka_vtype_t type) {
  rd_kafka_vu_t field{};
  field.vtype = type;
  return field;
}

void AddBytes(std::vector<rd_kafka_vu_t>& fields, rd_kafka_vtype_t type,
              const std::optional<std::string>& bytes) {
  if (!bytes) return;
  rd_kafka_vu_t field = Field(type);
  // librdkafka copies it (MSG_F_COPY); its signature predates const.
  field.u.mem.ptr = const_cast<char*>(bytes->data());
  field.u.mem.size = bytes->size();
  fields.push_back(field);
}

void SendOne(Producer& producer, const std::string& topic, const Described& message) {
  std::vector<rd_kafka_vu_t> fields{Field(RD_KAFKA_VTYPE_TOPIC), Field(RD_KAFKA_VTYPE_PARTITION),
                                    Field(RD_KAFKA_VTYPE_MSGFLAGS)};
  fields[0].u.cstr = topic.c_str();
  fields[1].u.i32 = message.partition;
  fields[2].u.i = RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK;
  AddBytes(fields, RD_KAFKA_VTYPE_KEY, message.key);
  AddBytes(fields, RD_KAFKA_VTYPE_VALUE, message.value);
  if (!message.headers.empty()) {
    rd_kafka_vu_t field = Field(RD_KAFKA_VTYPE_HEADERS);
    field.u.headers = rd_kafka_headers_new(message.headers.size());
    for (const auto& [name, value] : message.headers) {
      rd_kafka_header_add(field.u.headers, name.data(), static_cast<ssize_t>(name.size()),
                          value.data(), static_cast<ssize_t>(value.size()));
    }
    fields.push_back(field);
  }
  rd_kafka_error_t* error = rd_kafka_produceva(producer.handle(), fields.data(), fields.size());
  if (error != nullptr) Die("cannot send to " + topic + ": " + rd_kafka_error_string(error));
  producer.Poll(0);
}

void Check(rd_kafka_error_t* error, const char* doing) {
  if (error != nullptr) Die(std::string(doing) + ": " + rd_kafka_error_string(error));
}

}  // namespace

void Send(const SendOptions& options) {
  // Kafka's own default limit for a batch; librdkafka's is a little lower.
  Properties properties{{"message.max.bytes", "1048576"}};
  const bool transactional = options.transaction != Transaction::kNone;
  if (transactional) properties["transactional.id"] = "heartbeatd-kit-" + options.topic;
  Producer producer(options.connection, properties);
  if (PartitionCount(producer.handle(), options.topic) == 0) {
    Die("there is no topic " + options.topic + ": create it with create-topics");
  }
  if (transactional) {
    Check(rd_kafka_init_transactions(producer.handle(), kTransactionTimeoutMs), "transactions");
    Check(rd_kafka_begin_transaction(producer.handle()), "beginning a transaction");
  }
  LineReader reader(options.file);
  simdjson::dom::parser parser;
  std::string line;
  int64_t sent = 0;
  while (reader.Next(line)) {
    if (line.empty()) continue;
    SendOne(producer, options.topic, Parse(parser, line));
    ++sent;
  }
  producer.Flush();
  if (options.transaction == Transaction::kCommit) {
    Check(rd_kafka_commit_transaction(producer.handle(), kTransactionTimeoutMs), "committing");
  } else if (transactional) {
    Check(rd_kafka_abort_transaction(producer.handle(), kTransactionTimeoutMs), "aborting");
  }
  std::printf("{\"sent\":%ld}\n", sent);
}

}  // namespace kit
