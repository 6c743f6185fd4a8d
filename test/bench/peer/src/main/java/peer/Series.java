package peer;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** One measure of one customer: totals, the rhythm, and what a day had where that is wanted. */
final class Series {
  /** What is kept of each day with events. */
  enum Days {
    NONE,
    COUNTS,
    SUMS,
    DISTINCT;
  }

  private final Days kept;
  int count;
  long sumMicros;
  int firstDay;
  int days;
  int lastDay;
  double gaps;
  double gapSum;
  int[] bucketDays = {};
  int[] bucketCounts = {};
  private int[] bucketCents = {};
  private int[][] bucketHashes = {}; // one event of a day has one, so this is the number of events at most

  Series(Days kept) {
    this.kept = kept;
  }

  void add(int day, long micros, int hash) {
    if (count++ == 0) firstDay = day;
    sumMicros += micros;
    if (days == 0 || day > lastDay) {
      if (days > 0) {
        gaps = 0.9 * gaps + 1;
        gapSum = 0.9 * gapSum + (day - lastDay);
      }
      lastDay = day;
      days++;
    }
    if (kept == Days.NONE) return;
    int at = Arrays.binarySearch(bucketDays, day);
    if (at < 0) {
      at = -at - 1;
      bucketDays = insert(bucketDays, at, day);
      bucketCounts = insert(bucketCounts, at, 0);
      if (kept == Days.SUMS) bucketCents = insert(bucketCents, at, 0);
      if (kept == Days.DISTINCT) bucketHashes = insert(bucketHashes, at);
    }
    bucketCounts[at]++;
    if (kept == Days.SUMS) bucketCents[at] += (int) (micros / 10_000);
    if (kept == Days.DISTINCT && !contains(bucketHashes[at], hash)) bucketHashes[at] = insert(bucketHashes[at], 0, hash);
  }

  void forgetBefore(int day) {
    int kept = 0;
    while (kept < bucketDays.length && bucketDays[kept] < day) kept++;
    if (kept == 0) return;
    bucketDays = Arrays.copyOfRange(bucketDays, kept, bucketDays.length);
    bucketCounts = Arrays.copyOfRange(bucketCounts, kept, bucketCounts.length);
    if (this.kept == Days.SUMS) bucketCents = Arrays.copyOfRange(bucketCents, kept, bucketCents.length);
    if (this.kept == Days.DISTINCT) bucketHashes = Arrays.copyOfRange(bucketHashes, kept, bucketHashes.length);
  }

  /** Events on the days after `from`, up to `to`. */
  int count(int from, int to) {
    int sum = 0;
    for (int i = 0; i < bucketDays.length; i++) {
      if (bucketDays[i] > from && bucketDays[i] <= to) sum += bucketCounts[i];
    }
    return sum;
  }

  /** Money of the same days. */
  long cents(int from, int to) {
    long sum = 0;
    for (int i = 0; i < bucketDays.length; i++) {
      if (bucketDays[i] > from && bucketDays[i] <= to) sum += bucketCents[i];
    }
    return sum;
  }

  /** Distinct values of the same days. */
  int distinct(int from, int to) {
    int[] all = {};
    for (int i = 0; i < bucketDays.length; i++) {
      if (bucketDays[i] <= from || bucketDays[i] > to) continue;
      for (int hash : bucketHashes[i]) {
        if (!contains(all, hash)) all = insert(all, 0, hash);
      }
    }
    return all.length;
  }

  /** The first day after `day` on which a day with events is no longer among the newest `length`; Customer.NEVER: there is none. */
  int nextToLeave(int day, int length) {
    for (int bucketDay : bucketDays) {
      if (bucketDay + length > day) return bucketDay + length;
    }
    return Customer.NEVER;
  }

  int size() {
    int each = kept == Days.SUMS ? 8 : kept == Days.DISTINCT ? 5 : 4;
    int size = 4 + 8 + 4 + 4 + 4 + 8 + 8 + 2 + each * bucketDays.length;
    for (int[] hashes : bucketHashes) size += 4 * hashes.length;
    return size;
  }

  /** Two bytes for a day (since the first) and two for its count, four for its money, and four for each hash and one for their number. */
  void write(ByteBuffer to) {
    to.putInt(count).putLong(sumMicros).putInt(firstDay).putInt(days).putInt(lastDay).putDouble(gaps).putDouble(gapSum);
    to.putShort((short) bucketDays.length);
    for (int i = 0; i < bucketDays.length; i++) {
      to.putShort((short) (bucketDays[i] - firstDay)).putShort((short) bucketCounts[i]);
      if (kept == Days.SUMS) to.putInt(bucketCents[i]);
      if (kept != Days.DISTINCT) continue;
      to.put((byte) bucketHashes[i].length);
      for (int hash : bucketHashes[i]) to.putInt(hash);
    }
  }

  void read(ByteBuffer from) {
    count = from.getInt();
    sumMicros = from.getLong();
    firstDay = from.getInt();
    days = from.getInt();
    lastDay = from.getInt();
    gaps = from.getDouble();
    gapSum = from.getDouble();
    int buckets = from.getShort();
    bucketDays = new int[buckets];
    bucketCounts = new int[buckets];
    if (kept == Days.SUMS) bucketCents = new int[buckets];
    if (kept == Days.DISTINCT) bucketHashes = new int[buckets][];
    for (int i = 0; i < buckets; i++) {
      bucketDays[i] = firstDay + from.getShort();
      bucketCounts[i] = from.getShort();
      if (kept == Days.SUMS) bucketCents[i] = from.getInt();
      if (kept != Days.DISTINCT) continue;
      bucketHashes[i] = new int[from.get()];
      for (int h = 0; h < bucketHashes[i].length; h++) bucketHashes[i][h] = from.getInt();
    }
  }

  private static boolean contains(int[] list, int value) {
    for (int one : list) {
      if (one == value) return true;
    }
    return false;
  }

  private static int[] insert(int[] list, int at, int value) {
    int[] out = Arrays.copyOf(list, list.length + 1);
    System.arraycopy(list, at, out, at + 1, list.length - at);
    out[at] = value;
    return out;
  }

  private static int[][] insert(int[][] list, int at) {
    int[][] out = Arrays.copyOf(list, list.length + 1);
    System.arraycopy(list, at, out, at + 1, list.length - at);
    out[at] = new int[0];
    return out;
  }
}
