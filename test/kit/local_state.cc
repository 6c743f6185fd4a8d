#include <rocksdb/db.h>
#include <simdjson.h>

#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "commands.h"
#include "lines.h"
#include "text.h"

namespace kit {
namespace {

// The database of a state directory with the column families of its partitions, by their names:
// "p7" is partition 7; RocksDB's own "default" is empty.
class LocalState {
 public:
  enum class Access { kRead, kWrite };

  LocalState(const std::string& directory, Access access) {
    const std::string path = directory + "/rocksdb";
    const rocksdb::DBOptions options;
    std::vector<std::string> names;
    rocksdb::Status status = rocksdb::DB::ListColumnFamilies(options, path, &names);
    if (!status.ok()) {
      Die("there is no state in " + directory + ": it must be the daemon's state.directory (" +
          status.ToString() + ")");
    }
    std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
    for (const std::string& name : names)
      descriptors.emplace_back(name, rocksdb::ColumnFamilyOptions());
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    status = access == Access::kRead
                 ? rocksdb::DB::OpenForReadOnly(options, path, descriptors, &handles, &db)
                 : rocksdb::DB::Open(options, path, descriptors, &handles, &db);
    if (!status.ok()) Die("cannot open the state in " + directory + ": " + status.ToString());
    db_.reset(db);
    for (rocksdb::ColumnFamilyHandle* handle : handles) families_[handle->GetName()] = handle;
  }
  ~LocalState() {
    for (const auto& [name, handle] : families_) db_->DestroyColumnFamilyHandle(handle);
  }
  LocalState(const LocalState&) = delete;
  LocalState& operator=(const LocalState&) = delete;

  [[nodiscard]] rocksdb::DB& db() const { return *db_; }
  [[nodiscard]] const std::map<std::string, rocksdb::ColumnFamilyHandle*>& families() const {
    return families_;
  }

 private:
  std::unique_ptr<rocksdb::DB> db_;
  std::map<std::string, rocksdb::ColumnFamilyHandle*> families_;
};

// What a key of a shard's column family is about; docs/state-format.md.
const char* KindOf(std::string_view key) {
  if (key == "m") return "meta";
  if (key.starts_with('c')) return "customer";
  if (key.starts_with('t')) return "timer";
  return "unknown";
}

void PrintRows(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family, const std::string& partition) {
  const std::unique_ptr<rocksdb::Iterator> row(db.NewIterator(rocksdb::ReadOptions(), family));
  for (row->SeekToFirst(); row->Valid(); row->Next()) {
    std::string out = "{\"partition\":" + partition + ",\"kind\":\"" +
                      KindOf(row->key().ToStringView()) + "\",\"key_base64\":\"";
    AppendBase64(out, row->key().ToStringView());
    out += "\",\"value_base64\":\"";
    AppendBase64(out, row->value().ToStringView());
    std::printf("%s\"}\n", out.c_str());
  }
  if (!row->status().ok()) Die("reading partition " + partition + ": " + row->status().ToString());
}

// A field of a line that dump-state has printed.
std::string Bytes(const simdjson::dom::object& line, const char* field) {
  std::string_view text;
  if (line[field].get(text) != simdjson::SUCCESS)
    Die(std::string("load-state: a line lacks ") + field);
  const std::optional<std::string> bytes = FromBase64(text);
  if (!bytes) Die(std::string("load-state: ") + field + " is no base64");
  return *bytes;
}

}  // namespace

void DumpState(const std::string& directory) {
  const LocalState state(directory, LocalState::Access::kRead);
  for (const auto& [name, family] : state.families()) {
    if (name.starts_with('p')) PrintRows(state.db(), family, name.substr(1));
  }
}

void LoadState(const std::string& directory, const std::string& file) {
  const LocalState state(directory, LocalState::Access::kWrite);
  LineReader lines(file);
  simdjson::dom::parser parser;
  for (std::string line; lines.Next(line);) {
    simdjson::dom::object row;
    int64_t partition = 0;
    if (parser.parse(line).get(row) != simdjson::SUCCESS ||
        row["partition"].get(partition) != simdjson::SUCCESS)
      Die("load-state: a line is none of dump-state's");
    const auto family = state.families().find("p" + std::to_string(partition));
    if (family == state.families().end())
      Die("load-state: there is no partition " + std::to_string(partition));
    const rocksdb::Status put =
        state.db().Put({}, family->second, Bytes(row, "key_base64"), Bytes(row, "value_base64"));
    if (!put.ok()) Die("load-state: " + put.ToString());
  }
}

}  // namespace kit
