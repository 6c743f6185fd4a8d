package peer;

/** What test/bench/two.yaml asks for: fewer visits in 28 days than in the three periods before, and silence by the customer's own rhythm. */
final class TwoRules extends Rules {
  private static final int PURCHASES = 0;
  private static final int VISITS = 1;
  private static final Series.Days[] KEPT = {Series.Days.NONE, Series.Days.COUNTS};
  private static final int DROPPING = 0;
  private static final int SILENT = 1;
  private static final int WINDOW = 28;
  private static final int BASELINE = 8;
  private static final double SCORE = threshold(0.05);

  TwoRules(boolean timers) {
    super(timers);
  }

  @Override
  Customer fresh() {
    return new Customer(KEPT, 0);
  }

  @Override
  boolean readsProperties() {
    return false;
  }

  @Override
  void onEvent(String key, Customer customer, int day) {
    boolean purchase = type.equals("purchase");
    if (purchase) {
      silence(key, customer, day);
      if (customer.fires(SILENT)) {
        customer.setFires(SILENT, false);
        alert(key, customer, "gone-quiet", false, "\"day\":" + day);
      }
      customer.series[PURCHASES].add(day, micros(), 0);
    }
    if (purchase || type.equals("login")) {
      customer.series[VISITS].add(day, 0, 0);
      customer.series[VISITS].forgetBefore(day - 4 * WINDOW);
      dropping(key, customer, day);
    }
  }

  @Override
  void onDay(String key, Customer customer, int day) {
    silence(key, customer, day);
    dropping(key, customer, day);
  }

  @Override
  int due(Customer customer, int day) {
    Series purchases = customer.series[PURCHASES];
    int due = customer.fires(DROPPING) ? Customer.NEVER : dropDue(customer.series[VISITS], day, WINDOW, BASELINE);
    if (!customer.fires(SILENT) && purchases.days >= 4) due = Math.min(due, Math.max(silenceDue(purchases, 30, SCORE), day + 1));
    return due;
  }

  private void dropping(String key, Customer customer, int day) {
    Series visits = customer.series[VISITS];
    boolean firing = drops(visits, day, WINDOW, BASELINE);
    if (firing == customer.fires(DROPPING)) return;
    customer.setFires(DROPPING, firing);
    alert(key, customer, "dropping-activity", firing,
        "\"count\":" + visits.count(day - WINDOW, day) + ",\"baseline\":" + visits.count(day - 4 * WINDOW, day - WINDOW));
  }

  private void silence(String key, Customer customer, int day) {
    Series purchases = customer.series[PURCHASES];
    if (customer.fires(SILENT) || purchases.days < 4 || day < silenceDue(purchases, 30, SCORE)) return;
    customer.setFires(SILENT, true);
    alert(key, customer, "gone-quiet", true, "\"days\":" + (day - purchases.lastDay));
  }
}
