package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.UUID;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * What test/bench/two.yaml asks for: fewer visits in 28 days than in the three periods before, and silence by the customer's own
 * rhythm. It has no timers, so it says that somebody is silent only when he comes again: less than heartbeatd does, which must
 * say so while nothing comes.
 */
final class Rules implements Processor<String, byte[], String, byte[]> {
  static final String STORE = "customers";

  private static final long DAY_MS = 86_400_000L;
  private static final JsonFactory JSON = new JsonFactory();

  private ProcessorContext<String, byte[]> context;
  private KeyValueStore<String, byte[]> store;

  // Of the event at hand.
  private String id;
  private String type;
  private long time;
  private double amount;

  @Override
  public void init(ProcessorContext<String, byte[]> context) {
    this.context = context;
    this.store = context.getStateStore(STORE);
  }

  @Override
  public void process(Record<String, byte[]> record) {
    try {
      read(record.value());
    } catch (IOException broken) {
      return;
    }
    Customer customer = Customer.from(store.get(record.key()));
    long hash = hash(id);
    if (customer.knows(hash)) return;
    customer.remember(hash, time);
    customer.lastSeen = Math.max(customer.lastSeen, time);
    int day = (int) Math.floorDiv(time, DAY_MS);
    boolean purchase = type.equals("purchase");
    if (purchase) {
      silence(record.key(), customer, day);
      customer.purchases.add(day, Math.round(amount * 1e6), false);
    }
    if (purchase || type.equals("login")) {
      customer.visits.add(day, 0, true);
      customer.visits.forgetBefore(day - 112);
      dropping(record.key(), customer, day);
    }
    store.put(record.key(), customer.bytes());
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
    if (day - customer.visits.firstDay < 112) return;
    int now = customer.visits.count(day - 28, day);
    int before = customer.visits.count(day - 112, day - 28);
    boolean firing = before >= 8 && now * 3.0 <= 0.5 * before && tail(now, now + before, 0.25) <= 0.01;
    if (firing == customer.dropping) return;
    customer.dropping = firing;
    alert(key, customer, "dropping-activity", firing ? "firing" : "resolved", "\"count\":" + now + ",\"baseline\":" + before);
  }

  private void silence(String key, Customer customer, int day) {
    Series purchases = customer.purchases;
    if (purchases.days < 4) return;
    double gap = (purchases.gapSum + 30) / (purchases.gaps + 1);
    if ((day - purchases.lastDay) / gap < 4) return;
    alert(key, customer, "gone-quiet", "firing", "\"gap_days\":" + gap);
    alert(key, customer, "gone-quiet", "resolved", "\"gap_days\":" + gap);
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
