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
 * What test/bench/two.yaml asks for: fewer visits in 28 days than in the three periods before, and silence by the customer's own
 * rhythm. Both may come to be while nothing comes from the customer. With timers that is noticed, on the day, by the partition's
 * newest event time: a store holds deadlines in order of time, and an entry that has become too early is moved when it is reached, so
 * that most events leave it alone. Without, it is said only when the customer comes again, which is less than the job.
 */
final class Rules implements Processor<String, byte[], String, byte[]> {
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
  private String type;
  private long time;
  private double amount;

  Rules(boolean timers) {
    this.timers = timers;
  }

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
    if (timers) fire((int) Math.floorDiv(time, DAY_MS));
    Customer customer = Customer.from(store.get(record.key()));
    long hash = hash(id);
    if (customer.knows(hash)) return;
    customer.remember(hash, time);
    customer.lastSeen = Math.max(customer.lastSeen, time);
    int day = (int) Math.floorDiv(time, DAY_MS);
    boolean purchase = type.equals("purchase");
    if (purchase) {
      silence(record.key(), customer, day);
      if (customer.silent) {
        customer.silent = false;
        alert(record.key(), customer, "gone-quiet", "resolved", "\"day\":" + day);
      }
      customer.purchases.add(day, Math.round(amount * 1e6), false);
    }
    if (purchase || type.equals("login")) {
      customer.visits.add(day, 0, true);
      customer.visits.forgetBefore(day - 112);
      dropping(record.key(), customer, day);
    }
    if (timers) index(record.key(), customer, day);
    store.put(record.key(), customer.bytes());
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
      Customer customer = Customer.from(store.get(key));
      if (customer.deadline != ByteBuffer.wrap(entry).getInt()) continue;
      customer.deadline = Customer.NEVER;
      silence(key, customer, day);
      dropping(key, customer, day);
      index(key, customer, day);
      store.put(key, customer.bytes());
    }
  }

  /** When time alone may next change what the rules say, as of `day`. */
  private void index(String key, Customer customer, int day) {
    int due = customer.dropping ? Customer.NEVER : droppingDue(customer, day);
    if (!customer.silent && customer.purchases.days >= 4) due = Math.min(due, Math.max(silenceDue(customer.purchases), day + 1));
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
    id = type = "";
    time = 0;
    amount = 0;
    try (JsonParser parser = JSON.createParser(json)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) throw new IOException("no object");
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        switch (name) {
          case "event_id" -> id = parser.getText();
          case "type" -> type = parser.getText();
          case "timestamp" -> time = Instant.parse(parser.getText()).toEpochMilli();
          case "amount" -> amount = parser.getDoubleValue();
          default -> parser.skipChildren();
        }
      }
    }
  }

  private void dropping(String key, Customer customer, int day) {
    boolean firing = drops(customer.visits, day);
    if (firing == customer.dropping) return;
    customer.dropping = firing;
    int now = customer.visits.count(day - 28, day);
    int before = customer.visits.count(day - 112, day - 28);
    alert(key, customer, "dropping-activity", firing ? "firing" : "resolved", "\"count\":" + now + ",\"baseline\":" + before);
  }

  private static boolean drops(Series visits, int day) {
    if (visits.count == 0 || day - visits.firstDay < 112) return false;
    int now = visits.count(day - 28, day);
    int before = visits.count(day - 112, day - 28);
    return before >= 8 && now * 3.0 <= 0.5 * before && tail(now, now + before, 0.25) <= 0.01;
  }

  /** It can begin only on a day on which visits leave the window, or when the customer has been observed for long enough. */
  private static int droppingDue(Customer customer, int day) {
    Series visits = customer.visits;
    if (visits.count < 8) return Customer.NEVER;
    int first = Math.max(day + 1, visits.firstDay + 112);
    for (int at = first; at != Customer.NEVER; at = visits.nextToLeave(at, 28)) {
      if (drops(visits, at)) return at;
    }
    return Customer.NEVER;
  }

  private void silence(String key, Customer customer, int day) {
    Series purchases = customer.purchases;
    if (customer.silent || purchases.days < 4 || day < silenceDue(purchases)) return;
    customer.silent = true;
    alert(key, customer, "gone-quiet", "firing", "\"days\":" + (day - purchases.lastDay));
  }

  private static int silenceDue(Series purchases) {
    double gap = (purchases.gapSum + 30) / (purchases.gaps + 1);
    return purchases.lastDay + (int) Math.ceil(4 * gap);
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

  private void alert(String key, Customer customer, String rule, String status, String evidence) {
    String name = rule + ":" + key + ":" + time + ":" + status;
    String json =
        "{\"specversion\":\"1.0\",\"id\":\"" + UUID.nameUUIDFromBytes(name.getBytes(StandardCharsets.UTF_8))
            + "\",\"source\":\"/peer\",\"type\":\"io.heartbeatd.alert.v1\",\"subject\":\"" + key + "\",\"time\":\""
            + Instant.ofEpochMilli(time) + "\",\"datacontenttype\":\"application/json\",\"data\":{\"rule\":\"" + rule
            + "\",\"status\":\"" + status + "\",\"customer_id\":\"" + key + "\"," + evidence + ",\"customer\":{\"last_seen\":\""
            + Instant.ofEpochMilli(customer.lastSeen) + "\"}}}";
    context.forward(new Record<>(key, json.getBytes(StandardCharsets.UTF_8), time));
  }

  private static long hash(String text) {
    long hash = 0xcbf29ce484222325L;
    for (int i = 0; i < text.length(); i++) hash = (hash ^ text.charAt(i)) * 0x100000001b3L;
    return hash;
  }
}
