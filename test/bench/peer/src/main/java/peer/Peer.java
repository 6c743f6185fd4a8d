package peer;

import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.WriteBufferManager;

/**
 * The benchmark's rules as a Kafka Streams program: exactly once, a commit every 100 ms, one state per customer in RocksDB
 * with a changelog, no record cache. With timers, a second store of the same kind holds the deadlines.
 *
 * <p>Arguments: brokers, input topic, output topic, application id, state directory, threads, "timers" or "no-timers",
 * "two" or "e-commerce".
 */
public final class Peer {
  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0];
    String input = arguments[1];
    String output = arguments[2];
    Topology topology = new Topology();
    topology.addSource("events", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), input);
    boolean timers = arguments[6].equals("timers");
    boolean shop = arguments[7].equals("e-commerce");
    topology.addProcessor("rules", () -> shop ? new ShopRules(timers) : new TwoRules(timers), "events");
    topology.addStateStore(store(Rules.STORE, Serdes.String()), "rules");
    if (timers) topology.addStateStore(store(Rules.DEADLINES, Serdes.ByteArray()), "rules");
    topology.addSink("alerts", output, Serdes.String().serializer(), Serdes.ByteArray().serializer(), "rules");

    KafkaStreams streams = new KafkaStreams(topology, properties(brokers, arguments[3], Path.of(arguments[4]), arguments[5]));
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        failure -> {
          failure.printStackTrace();
          ended.countDown();
          return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
    ended.await();
  }

  private static <K> StoreBuilder<KeyValueStore<K, byte[]>> store(String name, Serde<K> keys) {
    return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), keys, Serdes.ByteArray())
        .withCachingDisabled()
        .withLoggingEnabled(Map.of("compression.type", "producer"));
  }

  private static Properties properties(String brokers, String application, Path state, String threads) {
    Properties properties = new Properties();
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "100");
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
    properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
    properties.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Store.class);
    properties.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    properties.put(StreamsConfig.mainConsumerPrefix("max.poll.records"), "5000");
    properties.put(StreamsConfig.mainConsumerPrefix("fetch.max.bytes"), "52428800");
    properties.put(StreamsConfig.mainConsumerPrefix("max.partition.fetch.bytes"), "4194304");
    properties.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
    properties.put(StreamsConfig.producerPrefix("linger.ms"), "100");
    properties.put(StreamsConfig.producerPrefix("batch.size"), "524288");
    properties.put(StreamsConfig.producerPrefix("buffer.memory"), "67108864");
    return properties;
  }

  /** One cache and one memory for write buffers for all stores, and filters: what its documentation advises. */
  public static final class Store implements RocksDBConfigSetter {
    private static final LRUCache CACHE = new LRUCache(128L << 20);
    private static final WriteBufferManager BUFFERS = new WriteBufferManager(128L << 20, CACHE);

    @Override
    public void setConfig(String name, Options options, Map<String, Object> settings) {
      BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
      table.setBlockCache(CACHE);
      table.setCacheIndexAndFilterBlocks(true);
      table.setFilterPolicy(new BloomFilter(10));
      options.setTableFormatConfig(table);
      options.setWriteBufferManager(BUFFERS);
      options.setWriteBufferSize(32L << 20);
    }

    @Override
    public void close(String name, Options options) {}
  }

  private Peer() {}
}
