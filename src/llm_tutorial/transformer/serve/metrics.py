"""Counters, gauges and histograms in Prometheus's text format, in fifty lines."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """What a service has counted.

    Example:
        >>> metrics = Metrics()
        >>> metrics.count("requests_total", path="/embed")
        >>> metrics.observe("batch_size", 3, (1, 4))
        >>> print(metrics.text())
        # TYPE requests_total counter
        requests_total{path="/embed"} 1
        # TYPE batch_size histogram
        batch_size_bucket{le="1"} 0
        batch_size_bucket{le="4"} 1
        batch_size_bucket{le="+Inf"} 1
        batch_size_sum 3
        batch_size_count 1
        <BLANKLINE>
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the thread of a model counts as well
        self._counters: dict[str, Counter[str]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._histograms: dict[str, dict[str, tuple[tuple[float, ...], list[int], list[float]]]] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Adds to a counter; its name ends in ``_total`` by custom."""
        with self._lock:
            self._counters.setdefault(name, Counter())[_labels(labels)] += amount  # type: ignore[assignment]

    def gauge(self, name: str, value: Callable[[], float]) -> None:
        """A value that is asked for whenever the metrics are."""
        self._gauges[name] = value

    def observe(self, name: str, value: float, bounds: tuple[float, ...] = SECONDS, **labels: str) -> None:
        """Puts a value into a histogram."""
        empty = (bounds, [0] * (len(bounds) + 1), [0.0])
        with self._lock:
            _, counts, total = self._histograms.setdefault(name, {}).setdefault(_labels(labels), empty)
            counts[bisect_left(bounds, value)] += 1
            total[0] += value

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        with self._lock:
            return self._text()

    def _text(self) -> str:
        lines = []
        for name, counter in self._counters.items():
            lines.append(f"# TYPE {name} counter")
            lines += [f"{name}{_braces(labels)} {amount:g}" for labels, amount in sorted(counter.items())]
        for name, value in self._gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name} {value():g}"]
        for name, histogram in self._histograms.items():
            lines.append(f"# TYPE {name} histogram")
            for labels, (bounds, counts, total) in sorted(histogram.items()):
                below = 0
                for bound, count in zip((*map("{:g}".format, bounds), "+Inf"), counts, strict=True):
                    below += count
                    lines.append(f"{name}_bucket{_braces(labels, _labels({'le': bound}))} {below}")
                lines += [f"{name}_sum{_braces(labels)} {total[0]:g}", f"{name}_count{_braces(labels)} {below}"]
        return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return ",".join(f'{name}="{escaped(value)}"' for name, value in sorted(labels.items()))


def _braces(*labels: str) -> str:
    inside = ",".join(filter(None, labels))
    return f"{{{inside}}}" if inside else ""
