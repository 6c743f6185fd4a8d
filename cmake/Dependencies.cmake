# Every third-party library, all of them Debian packages. A room links only what it is allowed to:
# RocksDB is private to store, librdkafka to kafka, yaml-cpp to rules.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(simdjson REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(Protobuf REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(RocksDB REQUIRED)
find_package(date REQUIRED)
find_package(Boost REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(ZLIB REQUIRED)
find_path(PROTOZERO_INCLUDE_DIR protozero/pbf_reader.hpp REQUIRED)  # headers only
pkg_check_modules(rdkafka REQUIRED IMPORTED_TARGET rdkafka)
find_package(OpenSSL REQUIRED)
pkg_check_modules(httplib REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(jemalloc REQUIRED IMPORTED_TARGET jemalloc)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
# Not `zstd`: its cached variables would be taken for those of RocksDB's own Findzstd.cmake.
pkg_check_modules(libzstd REQUIRED IMPORTED_TARGET libzstd)

# Older yaml-cpp exports `yaml-cpp`, newer ones `yaml-cpp::yaml-cpp`.
if(TARGET yaml-cpp::yaml-cpp)
  set(HB_YAML_CPP yaml-cpp::yaml-cpp)
else()
  set(HB_YAML_CPP yaml-cpp)
endif()
# The shared RocksDB: Debian's static one drags in its whole private link line.
if(TARGET RocksDB::rocksdb-shared)
  set(HB_ROCKSDB RocksDB::rocksdb-shared)
else()
  set(HB_ROCKSDB RocksDB::rocksdb)
endif()
