"""Customer lifetime value: what each member will probably spend in the next 12 months.

Two models without a database in them, each fitted by maximum likelihood:

- BG/NBD says how often somebody will buy: P. Fader, B. Hardie and K. L. Lee, "Counting Your Customers the Easy
  Way", Marketing Science 24(2), 2005. The equation numbers are theirs.
- Gamma-Gamma says how much they will spend each time: P. Fader and B. Hardie, "The Gamma-Gamma Model of Monetary
  Value", 2013.

Time is in weeks; money is in the programme's currency, net of refunds and not discounted. numpy and scipy are
imported where they are used: by workers, not by every web process.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

WEEKS_AHEAD = 365.25 / 7
# A fit needs some who came again; with fewer, the figures would be noise.
FEWEST_BUYERS, FEWEST_REPEATERS = 200, 50
# Of more than so many, an even sample is fitted; everybody is valued.
FITTED = 100_000
# The band of a member: the share of members, the most valuable first, up to which it reaches.
BANDS = (("top", 0.10), ("high", 0.30), ("middle", 0.60), ("low", 1.0))


class TooFew(Exception):
    """Too few members have bought, or come again, to fit a model."""


@dataclass(frozen=True)
class Summaries:
    """What the models need of each buyer: days of repeat purchases, when the last was, how long ago the first was.

    ``recency`` and ``age`` are weeks since the first purchase (until the last, until now); ``mean`` is the mean
    amount of a repeat purchase, 0 of those who never came again.
    """

    frequency: "Floats"
    recency: "Floats"
    age: "Floats"
    mean: "Floats"

    def sample(self, most: int) -> "Summaries":
        """At most so many of them, evenly spread."""
        step = -(-len(self.frequency) // most)
        return Summaries(*(part[::step] for part in (self.frequency, self.recency, self.age, self.mean)))


@dataclass(frozen=True)
class Purchasing:
    """The BG/NBD model: rates are gamma(r, alpha), the chance to leave after a purchase is beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fitted(cls, of: Summaries) -> "Purchasing":
        """The parameters under which these summaries are likeliest."""
        return cls(*_minimum(lambda given: -cls(*given).log_likelihood(of), start=(1.0, 4.0, 1.0, 3.0)))

    def log_likelihood(self, of: Summaries) -> float:
        """Equation 6, in logarithms."""
        import numpy as np
        from scipy.special import gammaln

        r, alpha, a, b, x = self.r, self.alpha, self.a, self.b, of.frequency
        both = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        both = both + gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
        stayed = -(r + x) * np.log(alpha + of.age)
        left = np.log(a) - np.log(np.maximum(b + x - 1, 1e-12)) - (r + x) * np.log(alpha + of.recency)
        return float(np.sum(both + np.where(x > 0, np.logaddexp(stayed, left), stayed)))

    def expected(self, of: Summaries, weeks: float) -> "Floats":
        """How often each will buy in the next ``weeks`` (equation 10)."""
        import numpy as np
        from scipy.special import hyp2f1

        r, alpha, b, x = self.r, self.alpha, self.b, of.frequency
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6
        until = alpha + of.age + weeks
        series = hyp2f1(r + x, b + x, a + b + x - 1, weeks / until)
        ahead = (a + b + x - 1) / (a - 1) * (1 - ((alpha + of.age) / until) ** (r + x) * series)
        # At most as often as somebody who never leaves would: where the series has no digits left, that is its limit.
        most = (r + x) / (alpha + of.age) * weeks
        ahead = np.where(np.isfinite(ahead), np.clip(ahead, 0, most), 0)
        return np.asarray(ahead * self.alive(of))

    def alive(self, of: Summaries) -> "Floats":
        """The chance that each has not left (the denominator of equation 10)."""
        import numpy as np

        x = of.frequency
        odds = (self.r + x) * (np.log(self.alpha + of.age) - np.log(self.alpha + of.recency))
        left = self.a / np.maximum(self.b + x - 1, 1e-12) * np.exp(np.minimum(odds, 700))
        return np.asarray(1 / (1 + np.where(x > 0, left, 0)))


@dataclass(frozen=True)
class Spending:
    """The Gamma-Gamma model of the amount of a purchase."""

    p: float
    q: float
    v: float

    @classmethod
    def fitted(cls, of: Summaries) -> "Spending":
        """The parameters under which the mean amounts of those who came again are likeliest; q stays above 1."""
        known = (of.frequency > 0) & (of.mean > 0)
        x, mean = of.frequency[known], of.mean[known]
        scale = float(mean.mean())

        def cost(given: Sequence[float]) -> float:
            return -cls(given[0], 1 + given[1], given[2])._log_likelihood(x, mean / scale)

        p, over, v = _minimum(cost, start=(3.0, 2.0, 1.0))
        return cls(p, 1 + over, v * scale)

    def _log_likelihood(self, x: "Floats", mean: "Floats") -> float:
        import numpy as np
        from scipy.special import gammaln

        p, q, v = self.p, self.q, self.v
        said = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v)
        said = said + (p * x - 1) * np.log(mean) + p * x * np.log(x) - (p * x + q) * np.log(x * mean + v)
        return float(np.sum(said))

    def expected(self, of: Summaries) -> "Floats":
        """The mean amount of each one's purchases to come: between their own mean and that of all."""
        import numpy as np

        x = of.frequency
        return np.asarray(self.p * (self.v + x * of.mean) / (self.p * x + self.q - 1))


def fit(of: Summaries) -> tuple[Purchasing, Spending]:
    """Both models. Raises :class:`TooFew`."""
    _check(of)
    some = of.sample(FITTED)
    return Purchasing.fitted(some), Spending.fitted(some)


def foretell(of: Summaries, weeks: float) -> "Floats":
    """How often each will buy in the next ``weeks`` by a model of their own. Raises :class:`TooFew`."""
    _check(of)
    return Purchasing.fitted(of.sample(FITTED)).expected(of, weeks)


def _check(of: Summaries) -> None:
    repeaters = int(((of.frequency > 0) & (of.mean > 0)).sum())
    if len(of.frequency) < FEWEST_BUYERS or repeaters < FEWEST_REPEATERS:
        raise TooFew(f"{len(of.frequency)} buyers, {repeaters} came again")


def bands(values: "Floats") -> "NDArray[Any]":
    """The band of each value by its place among all; equal values by their order."""
    import numpy as np

    place = np.empty(len(values))
    place[np.argsort(-values, kind="stable")] = (np.arange(len(values)) + 1) / max(len(values), 1)
    ends = np.array([end for _name, end in BANDS]) + 1e-12
    return np.array([name for name, _end in BANDS])[np.searchsorted(ends, place)]


def _minimum(cost: Callable[[Sequence[float]], float], *, start: Sequence[float]) -> list[float]:
    """Positive parameters at which the cost is smallest, looked for on their logarithms."""
    import numpy as np
    from scipy.optimize import minimize

    def at(logs: Any) -> float:
        return cost([float(part) for part in np.exp(logs)])

    first: Any = np.log(np.array(start))
    found = minimize(at, first, method="L-BFGS-B", bounds=[(-9.0, 9.0)] * len(start))
    return [float(part) for part in np.exp(found.x)]
