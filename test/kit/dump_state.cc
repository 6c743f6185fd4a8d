#include <rocksdb/db.h>

#include <cstdio>

#include "commands.h"
#include "text.h"

namespace kit {
namespace {

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

}  // namespace

void DumpState(const std::string& directory) {
  const std::string path = directory + "/rocksdb";
  const rocksdb::DBOptions options;
  std::vector<std::string> names;
  rocksdb::Status status = rocksdb::DB::ListColumnFamilies(options, path, &names);
  if (!status.ok()) {
    Die("there is no state in " + directory + ": it must be the daemon's state.directory (" +
        status.ToString() + ")");
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : names) {
    descriptors.emplace_back(name, rocksdb::ColumnFamilyOptions());
  }
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  rocksdb::DB* opened = nullptr;
  status = rocksdb::DB::OpenForReadOnly(options, path, descriptors, &families, &opened);
  if (!status.ok()) Die("cannot open the state in " + directory + ": " + status.ToString());
  const std::unique_ptr<rocksdb::DB> db(opened);
  for (rocksdb::ColumnFamilyHandle* family : families) {
    // "p7" is partition 7; RocksDB's own "default" is empty.
    if (family->GetName().starts_with('p')) PrintRows(*db, family, family->GetName().substr(1));
    db->DestroyColumnFamilyHandle(family);
  }
}

}  // namespace kit
