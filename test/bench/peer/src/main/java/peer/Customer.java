package peer;

import java.nio.ByteBuffer;

/** The state of one customer: two measures, the newest event ids, whether a rule fires, and when time alone may change that. */
final class Customer {
  static final int NEVER = Integer.MAX_VALUE;

  private static final int IDS_MAX = 64;
  private static final long IDS_WITHIN_MS = 2 * 86_400_000L;

  long lastSeen;
  boolean dropping;
  boolean silent;
  int deadline = NEVER; // its entry among the deadlines, a day; never later than the real one
  Series purchases = new Series();
  Series visits = new Series();
  private long[] ids = new long[0];
  private long[] idTimes = new long[0];

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
    ByteBuffer to = ByteBuffer.allocate(8 + 1 + 4 + purchases.size() + visits.size() + 2 + 16 * ids.length);
    to.putLong(lastSeen).put((byte) ((dropping ? 1 : 0) + (silent ? 2 : 0))).putInt(deadline);
    purchases.write(to);
    visits.write(to);
    to.putShort((short) ids.length);
    for (int i = 0; i < ids.length; i++) to.putLong(ids[i]).putLong(idTimes[i]);
    return to.array();
  }

  static Customer from(byte[] bytes) {
    Customer customer = new Customer();
    if (bytes == null) return customer;
    ByteBuffer from = ByteBuffer.wrap(bytes);
    customer.lastSeen = from.getLong();
    byte fires = from.get();
    customer.dropping = (fires & 1) != 0;
    customer.silent = (fires & 2) != 0;
    customer.deadline = from.getInt();
    customer.purchases = Series.read(from);
    customer.visits = Series.read(from);
    int ids = from.getShort();
    customer.ids = new long[ids];
    customer.idTimes = new long[ids];
    for (int i = 0; i < ids; i++) {
      customer.ids[i] = from.getLong();
      customer.idTimes[i] = from.getLong();
    }
    return customer;
  }
}
