package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * What every rule set of the peer has in common. Most conditions may come to be while nothing comes from the customer. With timers that
 * is noticed, on the day, by the partition's newest event time: a store holds deadlines in order of time, and an entry that has become too
 * early is moved when it is reached, so that most events leave it alone. Without, it is said only when the customer comes again, which
 * is less than the job.
 */
abstract class Rules implements Processor<String, byte[], String, byte[]> {
  static final String STORE = "customers";
  static final String DEADLINES = "deadlines";

  private static final long DAY_MS = 86_400_000L;
  private static final JsonFactory JSON = new JsonFactory();
  private static final byte[] NOTHING = {};

  private final boolean timers;
  private ProcessorContext<String, byte[]> context;
  private KeyValueStore<String, byte[]> store;
  private KeyValueStore<byte[], byte[]> deadlines;
  private int firstDeadline; // a day: no entry lies before it, so nobody scans what was deleted there

  // Of the event at hand.
  private String id;
  private long time;
  String type;
  String category;
  String channel;
  double amount;

  Rules(boolean timers) {
    this.timers = timers;
  }

  /** Somebody of whom nothing is known. */
  abstract Customer fresh();

  /** The event at hand is the customer's. */
  abstract void onEvent(String key, Customer customer, int day);

  /** It is `day`, and nothing has come. */
  abstract void onDay(String key, Customer customer, int day);

  /** A day after `day` on which time alone may change what the rules say, and not later than the first; Customer.NEVER: there is none. */
  abstract int due(Customer customer, int day);

  @Override
  public void init(ProcessorContext<String, byte[]> context) {
    this.context = context;
    this.store = context.getStateStore(STORE);
    if (timers) this.deadlines = context.getStateStore(DEADLINES);
  }

  @Override
  public void process(Record<String, byte[]> record) {
    try {
      read(record.value());
    } catch (IOException broken) {
      return;
    }
    int day = (int) Math.floorDiv(time, DAY_MS);
    if (timers) fire(day);
    Customer customer = load(record.key());
    long hash = hash(id);
    if (customer.knows(hash)) return;
    customer.remember(hash, time);
    if (customer.firstSeen == 0) customer.firstSeen = time;
    customer.lastSeen = Math.max(customer.lastSeen, time);
    onEvent(record.key(), customer, day);
    if (timers) index(record.key(), customer, day);
    store.put(record.key(), customer.bytes());
  }

  private Customer load(String key) {
    Customer customer = fresh();
    byte[] bytes = store.get(key);
    if (bytes != null) customer.read(bytes);
    return customer;
  }

  private void fire(int day) {
    if (day < firstDeadline) return;
    List<byte[]> due = new ArrayList<>();
    try (KeyValueIterator<byte[], byte[]> entries = deadlines.range(deadlineKey(firstDeadline, ""), deadlineKey(day + 1, ""))) {
      while (entries.hasNext()) due.add(entries.next().key);
    }
    firstDeadline = day + 1;
    for (byte[] entry : due) {
      deadlines.delete(entry);
      String key = new String(entry, 4, entry.length - 4, StandardCharsets.UTF_8);
      Customer customer = load(key);
      if (customer.deadline != ByteBuffer.wrap(entry).getInt()) continue;
      customer.deadline = Customer.NEVER;
      onDay(key, customer, day);
      index(key, customer, day);
      store.put(key, customer.bytes());
    }
  }

  private void index(String key, Customer customer, int day) {
    int due = due(customer, day);
    if (due >= customer.deadline) return;
    if (customer.deadline != Customer.NEVER) deadlines.delete(deadlineKey(customer.deadline, key));
    customer.deadline = due;
    firstDeadline = Math.min(firstDeadline, due);
    deadlines.put(deadlineKey(due, key), NOTHING);
  }

  private static byte[] deadlineKey(int day, String key) {
    byte[] id = key.getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(4 + id.length).putInt(day).put(id).array();
  }

  private void read(byte[] json) throws IOException {
    id = type = category = channel = "";
    time = 0;
    amount = 0;
    try (JsonParser parser = JSON.createParser(json)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) throw new IOException("no object");
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        JsonToken value = parser.nextToken();
        switch (name) {
          case "event_id" -> id = parser.getText();
          case "type" -> type = parser.getText();
          case "timestamp" -> time = Instant.parse(parser.getText()).toEpochMilli();
          case "amount" -> amount = parser.getDoubleValue();
          case "properties" -> {
            if (readsProperties() && value == JsonToken.START_OBJECT) readProperties(parser);
            else parser.skipChildren();
          }
          default -> parser.skipChildren();
        }
      }
    }
  }

  /** Whether the rules look at any. */
  abstract boolean readsProperties();

  private void readProperties(JsonParser parser) throws IOException {
    while (parser.nextToken() == JsonToken.FIELD_NAME) {
      String name = parser.currentName();
      parser.nextToken();
      switch (name) {
        case "category" -> category = parser.getText();
        case "channel" -> channel = parser.getText();
        default -> parser.skipChildren();
      }
    }
  }

  long micros() {
    return Math.round(amount * 1e6);
  }

  // --- What rules compute ---

  /** Whether clearly less has come in the newest `window` days than in the three such windows before. */
  static boolean drops(Series series, int day, int window, int baseline) {
    if (series.count == 0 || day - series.firstDay < 4 * window) return false;
    int now = series.count(day - window, day);
    int before = series.count(day - 4 * window, day - window);
    return before >= baseline && now * 3.0 <= 0.5 * before && tail(now, now + before, 0.25) <= 0.01;
  }

  /** It can begin only on a day on which events leave the window, or when the customer has been observed for long enough. */
  static int dropDue(Series series, int day, int window, int baseline) {
    if (series.count < baseline) return Customer.NEVER;
    int first = Math.max(day + 1, series.firstDay + 4 * window);
    for (int at = first; at != Customer.NEVER; at = series.nextToLeave(at, window)) {
      if (drops(series, at, window, baseline)) return at;
    }
    return Customer.NEVER;
  }

  /** The score of heartbeatd's lapse score (docs/statistics.md) at which so many false alerts per customer and week are allowed. */
  static double threshold(double falseAlertsPerWeek) {
    return -Math.log10(falseAlertsPerWeek / 7);
  }

  /** The day on which silence reaches that score. */
  static int silenceDue(Series series, double populationGap, double threshold) {
    double b = populationGap + series.gapSum;
    double expected = (2 * populationGap + series.gapSum) / (2 + series.gaps);
    double level = Math.log10(Math.max(0.5, expected));
    double days = b * Math.expm1(Math.log(10) * (threshold - level) / (1 + series.gaps));
    if (days < expected) days = bisect(series, b, threshold, expected);
    return series.lastDay + (int) Math.ceil(Math.min(days, 3650));
  }

  private static double bisect(Series series, double b, double threshold, double expected) {
    double low = 0;
    double high = expected;
    while (high - low > 0.5) { // a day is enough
      double middle = (low + high) / 2;
      double score = (1 + series.gaps) * Math.log1p(middle / b) / Math.log(10) + Math.log10(Math.max(0.5, middle));
      if (score >= threshold) high = middle;
      else low = middle;
    }
    return high;
  }

  /** P(X <= k) of the binomial distribution. */
  private static double tail(int k, int n, double p) {
    double term = Math.pow(1 - p, n);
    double sum = term;
    for (int i = 1; i <= k; i++) {
      term *= (n - i + 1) / (double) i * p / (1 - p);
      sum += term;
    }
    return sum;
  }

  void alert(String key, Customer customer, String rule, boolean firing, String evidence) {
    String status = firing ? "firing" : "resolved";
    String name = rule + ":" + key + ":" + time + ":" + status;
    String json =
        "{\"specversion\":\"1.0\",\"id\":\"" + UUID.nameUUIDFromBytes(name.getBytes(StandardCharsets.UTF_8))
            + "\",\"source\":\"/peer\",\"type\":\"io.heartbeatd.alert.v1\",\"subject\":\"" + key + "\",\"time\":\""
            + Instant.ofEpochMilli(time) + "\",\"datacontenttype\":\"application/json\",\"data\":{\"rule\":\"" + rule
            + "\",\"status\":\"" + status + "\",\"customer_id\":\"" + key + "\"," + evidence + ",\"customer\":{\"last_seen\":\""
            + Instant.ofEpochMilli(customer.lastSeen) + "\"}}}";
    context.forward(new Record<>(key, json.getBytes(StandardCharsets.UTF_8), time));
  }

  static long hash(String text) {
    long hash = 0xcbf29ce484222325L;
    for (int i = 0; i < text.length(); i++) hash = (hash ^ text.charAt(i)) * 0x100000001b3L;
    return hash;
  }
}
