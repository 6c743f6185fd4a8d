package peer;

/**
 * What config/e-commerce.yaml asks for, as far as it can: the same measures, life cycle, stages and tiers, and each rule. Of the rules about carts, reviews and scores, of which the benchmark's
 * load has no event, it has nothing to remember either.
 */
final class ShopRules extends Rules {
  // Measures.
  private static final int PULSE = 0;
  private static final int PURCHASES = 1;
  private static final int LOGINS = 2;
  private static final int CATEGORIES = 3;
  private static final int APP_PURCHASES = 4;
  private static final Series.Days[] KEPT = {
    Series.Days.NONE, Series.Days.SUMS, Series.Days.NONE, Series.Days.DISTINCT, Series.Days.COUNTS
  };

  // Rules.
  private static final int SILENT = 0;
  private static final int DROPPING = 1;
  private static final int SPENDS_LESS = 2;
  private static final int ONE_TIMER = 3;
  private static final int LOYAL = 4;
  private static final int HIGH_VALUE = 5;
  private static final int COULD_DO_MORE = 6;

  // Notes.
  private static final int ACTIVITY = 0;
  private static final int ACTIVITY_BEFORE = 1;
  private static final int ACTIVITY_SINCE = 2; // a day
  private static final int STAGE = 3;
  private static final int STAGE_BEFORE = 4;
  private static final int STAGE_SINCE = 5;
  private static final int TIER = 6;
  private static final int LOYAL_SINCE = 7;
  private static final int ONE_TIMER_DUE = 8; // 0: nothing is waited for
  private static final int MORE_AGAIN = 9; // not before this day
  private static final int NOTES = 10;

  private static final String[] ACTIVITIES = {"none", "new", "active", "at_risk", "dormant", "lost", "reactivated"};
  private static final int NEW = 1;
  private static final int ACTIVE = 2;
  private static final int AT_RISK = 3;
  private static final int LOST = 5;
  private static final int REACTIVATED = 6;
  /** Of the steps to at_risk, dormant, lost: the score of one's own silence, and everybody's pauses while there are few of one's own. */
  private static final double[] SCORES = {threshold(0.05), threshold(0.01), threshold(0.002)};
  private static final double[] NEW_GAPS = {2, 3, 6};

  private static final double POPULATION_GAP = 60;
  private static final int DAYS_MIN = 4;
  private static final int HALF_YEAR = 182;
  private static final int QUARTER = 91;
  private static final int YEAR = 365;

  ShopRules(boolean timers) {
    super(timers);
  }

  @Override
  Customer fresh() {
    return new Customer(KEPT, NOTES);
  }

  @Override
  boolean readsProperties() {
    return true;
  }

  @Override
  void onEvent(String key, Customer customer, int day) {
    activity(key, customer, day);
    Series purchases = customer.series[PURCHASES];
    boolean purchase = type.equals("purchase");
    if (purchase) {
      silence(key, customer, day);
      purchases.add(day, micros(), 0);
      purchases.forgetBefore(day - YEAR);
      customer.series[CATEGORIES].add(day, 0, (int) hash(category));
      customer.series[CATEGORIES].forgetBefore(day - HALF_YEAR);
      if (channel.equals("app")) customer.series[APP_PURCHASES].add(day, 0, 0);
      customer.series[APP_PURCHASES].forgetBefore(day - HALF_YEAR);
    }
    if (type.equals("login") || type.equals("session")) customer.series[LOGINS].add(day, 0, 0);
    pulse(key, customer, day);
    if (!purchase) return;
    if (customer.fires(SILENT)) {
      customer.setFires(SILENT, false);
      alert(key, customer, "gone-quiet", false, evidence(customer, "\"day\":" + day));
    }
    if (purchases.count == 1) customer.notes[ONE_TIMER_DUE] = day + 120;
    if (purchases.count == 2) {
      customer.notes[ONE_TIMER_DUE] = 0;
      if (customer.fires(ONE_TIMER)) {
        customer.setFires(ONE_TIMER, false);
        alert(key, customer, "one-timer-at-risk", false, evidence(customer, "\"day\":" + day));
      }
    }
    look(key, customer, day);
  }

  @Override
  void onDay(String key, Customer customer, int day) {
    activity(key, customer, day);
    silence(key, customer, day);
    if (customer.notes[ONE_TIMER_DUE] != 0 && customer.notes[ONE_TIMER_DUE] <= day) {
      customer.notes[ONE_TIMER_DUE] = 0;
      customer.setFires(ONE_TIMER, true);
      alert(key, customer, "one-timer-at-risk", true, evidence(customer, "\"within_days\":120"));
    }
    look(key, customer, day);
  }

  @Override
  int due(Customer customer, int day) {
    Series purchases = customer.series[PURCHASES];
    int due = customer.notes[ACTIVITY] == LOST ? Customer.NEVER : activityDue(customer);
    if (!customer.fires(SILENT) && purchases.days >= DAYS_MIN) due = Math.min(due, silenceDue(purchases, POPULATION_GAP, SCORES[0]));
    if (customer.notes[ONE_TIMER_DUE] != 0) due = Math.min(due, customer.notes[ONE_TIMER_DUE]);
    if (!customer.fires(DROPPING)) due = Math.min(due, dropDue(purchases, day, 28, 20));
    if (purchases.count >= 8) due = Math.min(due, Math.max(purchases.firstDay + 4 * QUARTER, purchases.nextToLeave(day, QUARTER)));
    if (customer.fires(LOYAL)) due = Math.min(due, purchases.nextToLeave(day, HALF_YEAR));
    if (customer.fires(HIGH_VALUE) || customer.notes[TIER] > 0) due = Math.min(due, purchases.nextToLeave(day, YEAR));
    if (purchases.count >= 3) {
      int observed = purchases.firstDay + HALF_YEAR;
      due = Math.min(due, observed > day ? observed : purchases.nextToLeave(day, HALF_YEAR));
    }
    return due == Customer.NEVER ? due : Math.max(due, day + 1);
  }

  // --- Life cycle ---

  private static int activityDue(Customer customer) {
    Series pulse = customer.series[PULSE];
    if (pulse.count == 0) return Customer.NEVER;
    int step = customer.notes[ACTIVITY] < AT_RISK || customer.notes[ACTIVITY] == REACTIVATED ? 0 : customer.notes[ACTIVITY] - AT_RISK + 1;
    if (pulse.days < DAYS_MIN) return pulse.lastDay + (int) (NEW_GAPS[step] * POPULATION_GAP);
    return silenceDue(pulse, POPULATION_GAP, SCORES[step]);
  }

  private void activity(String key, Customer customer, int day) {
    while (customer.notes[ACTIVITY] != LOST && customer.series[PULSE].count > 0 && activityDue(customer) <= day) {
      int now = customer.notes[ACTIVITY];
      become(customer, now < AT_RISK || now == REACTIVATED ? AT_RISK : now + 1, day);
      changed(key, customer);
    }
  }

  private void pulse(String key, Customer customer, int day) {
    Series pulse = customer.series[PULSE];
    boolean newDay = pulse.count == 0 || day > pulse.lastDay;
    pulse.add(day, 0, 0);
    int now = customer.notes[ACTIVITY];
    if (now == 0) {
      become(customer, NEW, day);
      customer.notes[STAGE] = 2; // acquire
      customer.notes[STAGE_SINCE] = day;
    } else if (now == AT_RISK) {
      become(customer, pulse.days >= DAYS_MIN ? ACTIVE : NEW, day);
    } else if (now > AT_RISK && now <= LOST) {
      become(customer, REACTIVATED, day);
      changed(key, customer);
    } else if (newDay && (now == REACTIVATED || now == NEW && pulse.days >= DAYS_MIN)) {
      become(customer, ACTIVE, day);
    }
  }

  private static void become(Customer customer, int activity, int day) {
    customer.notes[ACTIVITY_BEFORE] = customer.notes[ACTIVITY];
    customer.notes[ACTIVITY] = activity;
    customer.notes[ACTIVITY_SINCE] = day;
  }

  private void changed(String key, Customer customer) {
    alert(key, customer, "activity-changed", true, evidence(customer, "\"from\":\"" + ACTIVITIES[customer.notes[ACTIVITY_BEFORE]] + "\""));
  }

  /** Stage and tier: purchases alone change them in this load. */
  private static void standing(Customer customer, int day, boolean loyal, long spent) {
    Series purchases = customer.series[PURCHASES];
    int stage = loyal ? 4 : purchases.count >= 2 ? 3 : 2;
    if (stage != customer.notes[STAGE]) {
      customer.notes[STAGE_BEFORE] = customer.notes[STAGE];
      customer.notes[STAGE] = stage;
      customer.notes[STAGE_SINCE] = day;
    }
    customer.notes[TIER] = spent >= 100_000 ? 2 : spent >= 20_000 ? 1 : 0;
  }

  // --- Rules ---

  private void silence(String key, Customer customer, int day) {
    Series purchases = customer.series[PURCHASES];
    if (customer.fires(SILENT) || purchases.days < DAYS_MIN || day < silenceDue(purchases, POPULATION_GAP, SCORES[0])) return;
    customer.setFires(SILENT, true);
    alert(key, customer, "gone-quiet", true, evidence(customer, "\"days\":" + (day - purchases.lastDay)));
  }

  /** Those rules that compare windows. */
  private void look(String key, Customer customer, int day) {
    Series purchases = customer.series[PURCHASES];
    boolean loyal = purchases.count(day - HALF_YEAR, day) >= 5;
    if (loyal != customer.fires(LOYAL)) {
      customer.setFires(LOYAL, loyal);
      customer.notes[LOYAL_SINCE] = day;
      if (loyal) alert(key, customer, "fifth-order-in-six-months", true, evidence(customer, "\"to\":\"loyal\""));
    }
    long spent = purchases.cents(day - YEAR, day);
    standing(customer, day, loyal, spent);
    boolean drops = drops(purchases, day, 28, 20);
    if (drops != customer.fires(DROPPING)) {
      customer.setFires(DROPPING, drops);
      if (!customer.fires(SILENT)) {
        alert(key, customer, "dropping-activity", drops,
            evidence(customer, "\"count\":" + purchases.count(day - 28, day) + ",\"baseline\":" + purchases.count(day - 112, day - 28)));
      }
    }
    boolean less = spendsLess(purchases, day);
    if (less != customer.fires(SPENDS_LESS)) {
      customer.setFires(SPENDS_LESS, less);
      alert(key, customer, "spends-less", less, evidence(customer, "\"cents\":" + purchases.cents(day - QUARTER, day)));
    }
    boolean high = spent >= (customer.fires(HIGH_VALUE) ? 80_000 : 100_000);
    if (high != customer.fires(HIGH_VALUE)) {
      customer.setFires(HIGH_VALUE, high);
      alert(key, customer, "high-value", high, evidence(customer, "\"cents\":" + spent));
    }
    more(key, customer, day);
  }

  private static boolean spendsLess(Series purchases, int day) {
    if (purchases.count == 0 || day - purchases.firstDay < 4 * QUARTER) return false;
    if (purchases.count(day - 4 * QUARTER, day - QUARTER) < 8) return false;
    long first = purchases.cents(day - 2 * QUARTER, day - QUARTER);
    long second = purchases.cents(day - 3 * QUARTER, day - 2 * QUARTER);
    long third = purchases.cents(day - 4 * QUARTER, day - 3 * QUARTER);
    long median = Math.max(Math.min(first, second), Math.min(Math.max(first, second), third));
    return purchases.cents(day - QUARTER, day) <= 0.5 * median;
  }

  private void more(String key, Customer customer, int day) {
    Series purchases = customer.series[PURCHASES];
    if (day - purchases.firstDay < HALF_YEAR || day < customer.notes[MORE_AGAIN] || purchases.count(day - HALF_YEAR, day) < 3) return;
    int apps = customer.series[APP_PURCHASES].count(day - HALF_YEAR, day);
    int categories = customer.series[CATEGORIES].distinct(day - HALF_YEAR, day);
    boolean more = apps < 1 || categories < 3;
    if (more && !customer.fires(COULD_DO_MORE)) {
      customer.notes[MORE_AGAIN] = day + QUARTER;
      alert(key, customer, "could-do-more", true, evidence(customer, "\"app\":" + apps + ",\"categories\":" + categories));
    }
    customer.setFires(COULD_DO_MORE, more);
  }

  /** What every alert of this set says, beside `more`. */
  private static String evidence(Customer customer, String more) {
    return "\"severity\":\"info\",\"action\":\"check-in\",\"evidence\":{" + more + "},\"activity\":\""
        + ACTIVITIES[customer.notes[ACTIVITY]] + "\",\"stage\":" + customer.notes[STAGE] + ",\"tier\":" + customer.notes[TIER];
  }
}
