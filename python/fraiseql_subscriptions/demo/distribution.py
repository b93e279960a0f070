"""A distribution of durations in little, constant memory."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Distribution"]

#: Buckets grow by one part in a hundred, so a quantile is at most 1% too large.
_PER_E: Final = 1 / math.log(1.01)
_SMALLEST: Final = 1e-7
_BUCKETS: Final = 2400  # up to more than half an hour


class Distribution:
    """Durations in seconds, counted in buckets of equal ratio (as HdrHistogram does)."""

    __slots__ = ("_buckets", "count", "maximum")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.count = 0
        self.maximum = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; less than 100 ns counts as 100 ns."""
        self.count += 1
        if seconds > self.maximum:
            self.maximum = seconds
        if seconds <= _SMALLEST:
            self._buckets[0] += 1
            return
        bucket = math.ceil(math.log(seconds / _SMALLEST) * _PER_E)
        self._buckets[min(bucket, _BUCKETS - 1)] += 1

    def quantile(self, share: float) -> float:
        """The duration that `share` (0 to 1) of all do not exceed; 0.0 when there are none."""
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return min(_SMALLEST * math.exp(bucket / _PER_E), self.maximum)
        return 0.0
