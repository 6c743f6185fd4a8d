"""Judges alerts against the future: precision, recall, delay and false alerts of a rule on a log of events.

A drop begins on the first day d on which the customer's next H days hold at most 0.3 x what the rate of the B days before
promises (the rate is frozen then), and ends when they hold at least 0.5 x of it. Customers are split in two by the md5 of their
name; the even half is for training, the other one is judged, as far as it has N0 events. A day can be judged if the customer
had N0 events in the B days up to it, or was last so at most H days ago, from B days after the first event on, and while H days
of future are in the log. A drop that is there on the first such day is left out.

P: alerts that are the first in a drop, of all alerts. R: drops with an alert within H days. Delay: median days from the drop's
beginning. fa: alerts of healthy customers (the next H days hold at least 0.7 x of what was promised) per 1,000 of their weeks.

The protocol of the project's reference numbers, after its evaluate.py, with the standard library only."""
import datetime
import gzip
import hashlib
import json
import math
import statistics
from itertools import accumulate


def days_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() / 86400


def is_training(customer):
    return int(hashlib.md5(("s" + customer).encode()).hexdigest()[:8], 16) % 2 == 0


class Log:
    """The number of events of each customer on each day."""

    def __init__(self, path):
        days = {}
        with gzip.open(path, "rt") as lines:
            for line in lines:
                event = json.loads(line)
                days.setdefault(event["customer_id"], []).append(int(days_of(event["timestamp"])))
        self.day0 = min(map(min, days.values()))
        self.length = max(map(max, days.values())) - self.day0 + 1
        self.days = days

    def counts(self, customer):
        out = [0] * self.length
        for day in self.days[customer]:
            out[day - self.day0] += 1
        return out

    def mean_gap(self, events_min):
        """m0: of the training half's customers with that many events and 3 activity days, the mean of their mean gaps."""
        gaps = []
        for customer, days in self.days.items():
            active = sorted(set(days))
            if is_training(customer) and len(days) >= events_min and len(active) >= 3:
                gaps.append((active[-1] - active[0]) / (len(active) - 1))
        return statistics.fmean(gaps)


def label(counts, back, events_min, ahead):
    """For every day: the drop it lies in (0: none), whether the customer is healthy, whether it can be judged; and the days
    on which drops begin."""
    length = len(counts)
    before = [0, *accumulate(counts)]  # before[d]: events before day d
    first = next(day for day, n in enumerate(counts) if n)
    drop_of, healthy, judged, drops = [0] * length, [False] * length, [False] * length, []
    in_drop = left_out = False
    rate, last = 0.0, -10**6
    for day in range(first + back - 1, length - ahead):
        past = before[day + 1] - before[day + 1 - back]
        enough = past >= events_min
        if enough:
            last = day
        judged[day] = day - last <= ahead
        future = before[day + 1 + ahead] - before[day + 1]
        if in_drop and future >= 0.5 * rate * ahead:
            in_drop = left_out = False
        if not in_drop and enough:
            if future <= 0.3 * (past / back) * ahead:
                in_drop, rate = True, past / back
                if day == first + back - 1:
                    left_out = True
                else:
                    drops.append(day)
            elif future >= 0.7 * (past / back) * ahead:
                healthy[day] = True
        if left_out:
            judged[day] = False
        elif in_drop:
            drop_of[day] = len(drops)
    return drop_of, healthy, judged, drops


class Scenario:
    """A log under one protocol (B, N0, H); labels are computed once for all rules."""

    def __init__(self, log, back, events_min, ahead):
        self.log, self.ahead = log, ahead
        self.labels = {customer: label(log.counts(customer), back, events_min, ahead)
                       for customer, days in sorted(log.days.items())
                       if len(days) >= events_min and not is_training(customer)}

    def judge(self, alerts):
        """alerts: {customer: [times in days since the epoch]}. (P and R in %, median delay in days, fa, judged alerts)"""
        total = good = caught = drops_total = false_healthy = 0
        healthy_weeks = 0.0
        delays = []
        for customer, (drop_of, healthy, judged, drops) in self.labels.items():
            drops_total += len(drops)
            healthy_weeks += sum(h and j for h, j in zip(healthy, judged)) / 7
            first_alert = {}
            for time in sorted(alerts.get(customer, [])):
                day = math.ceil(time - 1e-9) - 1 - self.log.day0  # the day's end at or after the crossing
                if not 0 <= day < len(judged) or not judged[day]:
                    continue
                total += 1
                drop = drop_of[day]
                if not drop:
                    false_healthy += healthy[day]
                elif drop not in first_alert:
                    first_alert[drop] = day - drops[drop - 1]
                    good += 1
            in_time = [lag for lag in first_alert.values() if lag <= self.ahead]
            caught += len(in_time)
            delays += in_time

        def percent(part, whole):
            return 100 * part / whole if whole else math.nan
        return (percent(good, total), percent(caught, drops_total), statistics.median(delays) if delays else math.nan,
                1000 * false_healthy / max(healthy_weeks, 1e-9), total)

    def size(self):
        """Judged customer-weeks, and drops."""
        return (round(sum(sum(judged) for _, _, judged, _ in self.labels.values()) / 7),
                sum(len(drops) for _, _, _, drops in self.labels.values()))
