"""Measuring one thing against its floor."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Seconds that ours and the floor took for the same ``rows``."""

    name: str
    floor_name: str
    rows: int
    ours: float
    floor: float

    @property
    def ratio(self) -> float:
        """How many times the floor's time ours takes; below 1 it is faster."""
        return self.ours / self.floor


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call, with the garbage of earlier ones out of the way."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_seconds(work: Callable[[], object], times: int = 5) -> float:
    """The median wall time of several calls, after one that is not counted."""
    work()
    return sorted(seconds(work) for _ in range(times))[times // 2]
