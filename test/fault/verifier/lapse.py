"""The lapse score (docs/statistics.md): when a silence is too long for this customer's rhythm."""
import functools
import math

from . import values


def threshold(false_alerts):
    """The score at which so many false alerts per customer and week are allowed."""
    return -math.log10(false_alerts / 7)


def due_ms(series, m0, score, horizon_ms):
    """The first millisecond after the series' last event at which the score is reached, or the horizon if that is earlier."""
    return series.last_ms + silence_ms(series.x, series.s, m0, score, horizon_ms)


@functools.lru_cache(100_000)
def silence_ms(x, s, m0, score, horizon_ms):
    b = m0 + s
    m = (2 * m0 + s) / (2 + x)

    def score_at(days):
        return (1 + x) * math.log1p(days / b) / math.log(10) + math.log10(max(0.5, min(days, m)))

    exponent = math.log(10) * (score - math.log10(m)) / (1 + x)
    days = b * math.expm1(exponent) if exponent < 700 else math.inf
    if days >= m:
        return min(max(math.ceil(min(days * values.DAY_MS, float(horizon_ms))), 1), horizon_ms)
    low, high = 0, math.ceil(m * values.DAY_MS)
    while high - low > 1:
        middle = (low + high) // 2
        if score_at(middle / values.DAY_MS) >= score:
            high = middle
        else:
            low = middle
    return min(high, horizon_ms)
