package peer;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** One measure of one customer: totals, the rhythm, and counts by day where they are wanted. */
final class Series {
  int count;
  long sumMicros;
  int firstDay;
  int days;
  int lastDay;
  double gaps;
  double gapSum;
  int[] bucketDays = new int[0];
  int[] bucketCounts = new int[0];

  void add(int day, long micros, boolean byDay) {
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
    if (!byDay) return;
    int at = Arrays.binarySearch(bucketDays, day);
    if (at < 0) {
      at = -at - 1;
      bucketDays = insert(bucketDays, at, day);
      bucketCounts = insert(bucketCounts, at, 0);
    }
    bucketCounts[at]++;
  }

  void forgetBefore(int day) {
    int kept = 0;
    while (kept < bucketDays.length && bucketDays[kept] < day) kept++;
    if (kept == 0) return;
    bucketDays = Arrays.copyOfRange(bucketDays, kept, bucketDays.length);
    bucketCounts = Arrays.copyOfRange(bucketCounts, kept, bucketCounts.length);
  }

  /** Events on the days after `from`, up to `to`. */
  int count(int from, int to) {
    int sum = 0;
    for (int i = 0; i < bucketDays.length; i++) {
      if (bucketDays[i] > from && bucketDays[i] <= to) sum += bucketCounts[i];
    }
    return sum;
  }

  /** The first day after `day` on which a day with events is no longer among the newest `length`; Customer.NEVER: there is none. */
  int nextToLeave(int day, int length) {
    for (int bucketDay : bucketDays) {
      if (bucketDay + length > day) return bucketDay + length;
    }
    return Customer.NEVER;
  }

  int size() {
    return 4 + 8 + 4 + 4 + 4 + 8 + 8 + 2 + 4 * bucketDays.length;
  }

  /** Two bytes for a day (since the first) and two for its count. */
  void write(ByteBuffer to) {
    to.putInt(count).putLong(sumMicros).putInt(firstDay).putInt(days).putInt(lastDay).putDouble(gaps).putDouble(gapSum);
    to.putShort((short) bucketDays.length);
    for (int i = 0; i < bucketDays.length; i++) to.putShort((short) (bucketDays[i] - firstDay)).putShort((short) bucketCounts[i]);
  }

  static Series read(ByteBuffer from) {
    Series series = new Series();
    series.count = from.getInt();
    series.sumMicros = from.getLong();
    series.firstDay = from.getInt();
    series.days = from.getInt();
    series.lastDay = from.getInt();
    series.gaps = from.getDouble();
    series.gapSum = from.getDouble();
    int buckets = from.getShort();
    series.bucketDays = new int[buckets];
    series.bucketCounts = new int[buckets];
    for (int i = 0; i < buckets; i++) {
      series.bucketDays[i] = series.firstDay + from.getShort();
      series.bucketCounts[i] = from.getShort();
    }
    return series;
  }

  private static int[] insert(int[] list, int at, int value) {
    int[] out = Arrays.copyOf(list, list.length + 1);
    System.arraycopy(list, at, out, at + 1, list.length - at);
    out[at] = value;
    return out;
  }
}
