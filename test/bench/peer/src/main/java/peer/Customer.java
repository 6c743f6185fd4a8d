package peer;

import java.nio.ByteBuffer;

/** The state of one customer: measures, the newest event ids, which rules fire, and when time alone may change that. */
final class Customer {
  static final int NEVER = Integer.MAX_VALUE;

  private static final int IDS_MAX = 64;
  private static final long IDS_WITHIN_MS = 2 * 86_400_000L;

  long firstSeen;
  long lastSeen;
  int deadline = NEVER; // its entry among the deadlines, a day; never later than the real one
  final Series[] series;
  final int[] notes; // whatever else the rules remember
  private int firing; // a bit for each rule
  private long[] ids = {};
  private long[] idTimes = {};

  /** As new; `kept`: of each measure. */
  Customer(Series.Days[] kept, int notes) {
    series = new Series[kept.length];
    for (int i = 0; i < kept.length; i++) series[i] = new Series(kept[i]);
    this.notes = new int[notes];
  }

  boolean fires(int rule) {
    return (firing >> rule & 1) != 0;
  }

  void setFires(int rule, boolean fires) {
    firing = fires ? firing | 1 << rule : firing & ~(1 << rule);
  }

  boolean knows(long id) {
    for (long known : ids) {
      if (known == id) return true;
    }
    return false;
  }

  void remember(long id, long time) {
    int from = 0;
    while (from < ids.length && (idTimes[from] < time - IDS_WITHIN_MS || ids.length - from >= IDS_MAX)) from++;
    long[] newIds = new long[ids.length - from + 1];
    long[] newTimes = new long[newIds.length];
    System.arraycopy(ids, from, newIds, 0, ids.length - from);
    System.arraycopy(idTimes, from, newTimes, 0, ids.length - from);
    newIds[newIds.length - 1] = id;
    newTimes[newIds.length - 1] = time;
    ids = newIds;
    idTimes = newTimes;
  }

  byte[] bytes() {
    int size = 8 + 8 + 4 + 4 + 4 * notes.length + 2 + 16 * ids.length;
    for (Series one : series) size += one.size();
    ByteBuffer to = ByteBuffer.allocate(size);
    to.putLong(firstSeen).putLong(lastSeen).putInt(firing).putInt(deadline);
    for (int note : notes) to.putInt(note);
    for (Series one : series) one.write(to);
    to.putShort((short) ids.length);
    for (int i = 0; i < ids.length; i++) to.putLong(ids[i]).putLong(idTimes[i]);
    return to.array();
  }

  /** Into a new one. */
  void read(byte[] bytes) {
    ByteBuffer from = ByteBuffer.wrap(bytes);
    firstSeen = from.getLong();
    lastSeen = from.getLong();
    firing = from.getInt();
    deadline = from.getInt();
    for (int i = 0; i < notes.length; i++) notes[i] = from.getInt();
    for (Series one : series) one.read(from);
    ids = new long[from.getShort()];
    idTimes = new long[ids.length];
    for (int i = 0; i < ids.length; i++) {
      ids[i] = from.getLong();
      idTimes[i] = from.getLong();
    }
  }
}
