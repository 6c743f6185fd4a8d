"""Reads the Prometheus text format, as far as the tests, the demo and the benchmark need it."""
import re

_SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """The samples of one page. Absent metrics are zero or None, never an error."""

    def __init__(self, text):
        self.samples = []
        for line in text.splitlines():
            match = _SAMPLE.match(line)
            if match and not line.startswith("#"):
                self.samples.append((match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])))

    def rows(self, name):
        return [(labels, value) for sample, labels, value in self.samples if sample == name]

    def total(self, name, **labels):
        """The sum over all label sets that have these labels."""
        return sum(value for have, value in self.rows(name) if labels.items() <= have.items())

    def quantile(self, name, share):
        """Of a histogram, over all its label sets, by linear interpolation within the bucket; None without samples."""
        buckets = {}
        for labels, value in self.rows(name + "_bucket"):
            edge = float(labels["le"])
            buckets[edge] = buckets.get(edge, 0) + value
        edges = sorted(buckets)
        if not edges or buckets[edges[-1]] == 0:
            return None
        rank = share * buckets[edges[-1]]
        below, lower = 0.0, 0.0
        for edge in edges:
            if buckets[edge] >= rank:
                if edge == float("inf"):
                    return lower
                return lower + (edge - lower) * (rank - below) / max(buckets[edge] - below, 1e-9)
            below, lower = buckets[edge], edge
        return lower
