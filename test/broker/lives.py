"""Made-up customers of a shop and of a software business, who do everything that the rule sets of config/ look at."""
import heapq
import itertools

import events

HOUR, DAY = 3600, 86_400
BEGIN = events.unix("2023-01-01T00:00:00Z")
CATEGORIES = ("books", "garden", "kitchen", "music", "toys")
FEATURES = ("export", "import", "reports", "search", "sharing")


class Life:
    """One customer's events, written down in any order."""

    def __init__(self, name, random):
        self.name, self.random, self.rows, self.ids = name, random, [], itertools.count()

    def does(self, kind, time, amount=None, **properties):
        row = events.event(f"{self.name}-{next(self.ids)}", self.name, time, kind)
        if amount is not None:
            row["amount"] = amount
        if properties:
            row["properties"] = properties
        self.rows.append((row["timestamp"], row))

    def chance(self, share):
        return self.random.random() < share

    def visits(self, begin, end, gap):
        """Times that far apart in the mean, now more often, now less; perhaps for good."""
        time = begin
        while (time := time + self.random.expovariate(1 / gap)) < end:
            yield time
            if self.chance(0.05):
                gap *= self.random.choice((0.4, 2, 5))

    def answers(self, metric, highest, time):
        self.does("feedback", time, metric=metric, score=self.random.randint(0, highest))


def shopper(life, begin, end):
    life.does("signup", begin)
    for time in life.visits(begin, end, life.random.uniform(4, 40) * DAY):
        life.does("login", time)
        if life.chance(0.4):
            cart = f"cart{next(life.ids)}"
            life.does("cart_updated", time + 60, cart_id=cart)
            if life.chance(0.2):
                life.does("cart_emptied", time + 600, cart_id=cart)
            elif life.chance(0.6):
                buys(life, time + 1200, cart_id=cart)
        elif life.chance(0.5):
            buys(life, time + 300)
        if life.chance(0.05):
            life.answers("nps", 10, time + 2 * HOUR)
        if life.chance(0.01):
            life.does("referral", time)


def buys(life, time, **properties):
    order = f"order{next(life.ids)}"
    amount = round(life.random.lognormvariate(3.5, 1), 2)
    life.does("purchase", time, amount, category=life.random.choice(CATEGORIES), channel=life.random.choice(("app", "web", "web")),
              order_id=order, **properties)
    delivered = time + life.random.uniform(1, 4) * DAY
    life.does("delivered", delivered, order_id=order)
    if life.chance(0.4):
        life.does("review", delivered + life.random.uniform(0.1, 14) * DAY, order_id=order)
    if life.chance(0.03):
        life.does("refund", delivered + DAY, amount)


def user(life, begin, end):
    life.does("signup", begin)
    features = life.random.randint(1, len(FEATURES))
    for time in life.visits(begin, end, life.random.uniform(0.7, 6) * DAY):
        life.does("login", time)
        for _ in range(life.random.randint(0, 2)):
            life.does("feature_used", time + life.random.uniform(0, HOUR), feature=FEATURES[life.random.randrange(features)])
        if life.chance(0.02):
            life.does("invitation_sent", time)
        if life.chance(0.03):
            ticket = f"ticket{next(life.ids)}"
            life.does("ticket_opened", time, ticket_id=ticket)
            if life.chance(0.8):
                life.does("ticket_answered", time + life.random.expovariate(1 / (12 * HOUR)), ticket_id=ticket)
        if life.chance(0.03):
            metric, highest = life.random.choice((("nps", 10), ("ces", 7)))
            life.answers(metric, highest, time)
        if life.chance(0.05):
            features = min(features + 1, len(FEATURES)) if life.chance(0.5) else 1
    term = life.random.choice((30, 365)) * DAY
    if life.chance(0.8):
        runs(life, "subscription", begin + life.random.uniform(0, 14) * DAY, end, term, plan="team")
    if life.chance(0.3):
        life.does("purchase", begin + DAY, round(life.random.uniform(100, 9000), 2))
        runs(life, "contract", begin + DAY, end, 365 * DAY, plan="frame")


def runs(life, kind, begin, end, term, **properties):
    """A term that is renewed for a while, and then cancelled or just ends."""
    status = "started"
    while begin < end:
        life.does(kind, begin, status=status, starts_at=events.rfc3339(begin), ends_at=events.rfc3339(begin + term), **properties)
        if life.chance(0.1):
            life.does(kind, begin + term / 2, status="cancelled", ends_at=events.rfc3339(begin + term), **properties)
            return
        if life.chance(0.15):
            return
        status, begin = "renewed", begin + term


def write(path, random, live, customers, days):
    """`live`: shopper or user. Some events come twice, and some customers want to be forgotten."""
    lives = []
    for number in range(customers):
        life = Life(f"c{number}", random)
        begin = BEGIN + random.uniform(0, days / 2) * DAY
        live(life, begin, BEGIN + days * DAY)
        if life.chance(0.03):
            life.does("erase", begin + random.uniform(0, days / 2) * DAY)
        lives.append(sorted(life.rows, key=lambda row: row[0]))
    rows = [row for _, row in heapq.merge(*lives, key=lambda row: row[0])]
    rows = [row for row in rows for _ in range(2 if random.random() < 0.01 else 1)]
    return events.write(path, rows, BEGIN + (days + 400) * DAY)
