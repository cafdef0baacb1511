"""What can be said about the difference of two arms, from sums alone.

No database and no Django in here: frozen dataclasses over counts and sums, so that every number can be
checked against a published example. Rates are shares from 0 to 1; NPS is in points from −100 to 100.
Confidence is 95% and tests are two-sided unless told otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, isfinite, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
# A ratio of arms as unlikely as this is a broken experiment, not bad luck. The usual threshold: Fabijan
# et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019.
MISMATCH = 0.001
POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``, in the unit of the thing it belongs to."""

    low: float
    high: float


@dataclass(frozen=True)
class Proportion:
    """``successes`` out of ``n``."""

    successes: int
    n: int

    @property
    def rate(self) -> float | None:
        """The share, 0 to 1; None of nobody."""
        return self.successes / self.n if self.n else None

    def wilson(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Wilson's score interval for the share (Wilson 1927). None of nobody."""
        if not self.n:
            return None
        z = _z(confidence)
        rate, n = self.successes / self.n, self.n
        centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
        return Interval(max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True)
class Sample:
    """Amounts of ``n`` members, by their sum and the sum of their squares."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float | None:
        """The amount per member; None of nobody."""
        return self.total / self.n if self.n else None

    @property
    def variance(self) -> float | None:
        """The variance among members (n − 1 in the denominator); None of fewer than two."""
        if self.n < 2:
            return None
        return max(0.0, (self.squares - self.total * self.total / self.n) / (self.n - 1))


@dataclass(frozen=True)
class Comparison:
    """One arm against another: the difference, its interval and the p-value of "no difference".

    Interval and p-value are None where nothing can be said (nobody, or amounts without variance).
    """

    difference: float | None
    interval: Interval | None
    p: float | None

    @property
    def is_significant(self) -> bool:
        """Whether "no difference" is refused at 5%."""
        return self.p is not None and self.p < SIGNIFICANT


def compare_proportions(arm: Proportion, control: Proportion, confidence: float = CONFIDENCE) -> Comparison:
    """Arm minus control: p-value by the pooled z test, interval by Newcombe's hybrid score method.

    Newcombe, "Interval estimation for the difference between independent proportions: comparison of
    eleven methods", Statistics in Medicine 17 (1998), method 10 (without continuity correction).
    """
    if not arm.n or not control.n:
        return Comparison(None, None, None)
    first, second = arm.successes / arm.n, control.successes / control.n
    one, two = arm.wilson(confidence), control.wilson(confidence)
    assert one is not None  # noqa: S101 (n is not 0)
    assert two is not None  # noqa: S101
    difference = first - second
    interval = Interval(
        difference - sqrt((first - one.low) ** 2 + (two.high - second) ** 2),
        difference + sqrt((one.high - first) ** 2 + (second - two.low) ** 2),
    )
    pooled = (arm.successes + control.successes) / (arm.n + control.n)
    error = sqrt(pooled * (1 - pooled) * (1 / arm.n + 1 / control.n))
    return Comparison(difference, interval, erfc(abs(difference) / error / sqrt(2)) if error else 1.0)


def compare_means(arm: Sample, control: Sample, confidence: float = CONFIDENCE) -> Comparison:
    """Arm minus control by Welch's t, degrees of freedom after Satterthwaite.

    Welch, "The generalization of 'Student's' problem when several different population variances are
    involved", Biometrika 34 (1947).
    """
    if arm.mean is None or control.mean is None:
        return Comparison(None, None, None)
    difference = arm.mean - control.mean
    if arm.variance is None or control.variance is None:
        return Comparison(difference, None, None)
    first, second = arm.variance / arm.n, control.variance / control.n
    if not first + second:
        return Comparison(difference, None, None)
    freedom = (first + second) ** 2 / (first**2 / (arm.n - 1) + second**2 / (control.n - 1))
    from scipy import special

    error = sqrt(first + second)
    p = 2 * float(special.stdtr(freedom, -abs(difference) / error))
    half = float(special.stdtrit(freedom, (1 + confidence) / 2)) * error
    return Comparison(difference, Interval(difference - half, difference + half), p)


@dataclass(frozen=True)
class RatioCheck:
    """Whether arms are as large as planned: Pearson's χ² over the arms."""

    chi_square: float
    p: float

    @property
    def is_mismatch(self) -> bool:
        """Whether the result of the experiment is not to be trusted."""
        return self.p < MISMATCH


def check_ratio(members: Sequence[int], shares: Sequence[float]) -> RatioCheck | None:
    """Compare arm sizes with planned shares (of any sum). None where there is nothing to compare.

    An arm that was planned with no share but has members is a mismatch for certain.
    """
    if len(members) != len(shares):
        raise ValueError(f"{len(members)} arms, but {len(shares)} shares")
    total, planned = sum(members), sum(shares)
    if len(members) < 2 or not total or planned <= 0:
        return None
    if any(n and not share for n, share in zip(members, shares, strict=True)):
        return RatioCheck(float("inf"), 0.0)
    pairs = [(n, total * share / planned) for n, share in zip(members, shares, strict=True) if share]
    if len(pairs) < 2:
        return None
    chi_square = sum((n - expected) ** 2 / expected for n, expected in pairs)
    from scipy import special

    return RatioCheck(chi_square, float(special.chdtrc(len(pairs) - 1, chi_square)))


def detectable_difference(rate: float, arm: int, control: int, power: float = POWER) -> float | None:
    """The smallest difference of shares that arms of these sizes find with the given power, at 5%.

    ``(z(1−α/2) + z(power)) · √(p(1−p)(1/n₁ + 1/n₂))``, the normal approximation for equal variances
    (Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, chapter 4). None for empty arms
    or where nobody, or everybody, converted.
    """
    if not arm or not control or not 0 < rate < 1:
        return None
    z = _z(1 - SIGNIFICANT) + NormalDist().inv_cdf(power)
    return z * sqrt(rate * (1 - rate) * (1 / arm + 1 / control))


@dataclass(frozen=True)
class NetPromoter:
    """Answers to "would you recommend us": 9–10 promote, 7–8 are passive, 0–6 detract."""

    promoters: int
    passives: int
    detractors: int

    @property
    def n(self) -> int:
        """All answers with a score."""
        return self.promoters + self.passives + self.detractors

    @property
    def score(self) -> float | None:
        """Promoters minus detractors, in percent of the answers: −100 to 100. None without answers."""
        return 100 * (self.promoters - self.detractors) / self.n if self.n else None

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """The interval for a difference of two shares of one multinomial.

        Wald's, with half an answer added to each of the four cells of the paired table (n + 2): Agresti and
        Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine
        24 (2005). The plain one has no width when everybody gave the same answer.
        """
        if not self.n:
            return None
        n = self.n + 2
        plus, minus = (self.promoters + 0.5) / n, (self.detractors + 0.5) / n
        half = _z(confidence) * sqrt((plus + minus - (plus - minus) ** 2) / n)
        centre = plus - minus
        return Interval(100 * max(-1.0, centre - half), 100 * min(1.0, centre + half))


def p_text(p: float | None) -> str:
    """A p-value as it is printed: two significant digits, never "0"."""
    if p is None or not isfinite(p):
        return "–"
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _z(confidence: float) -> float:
    """The two-sided quantile of the normal distribution, 1.96 for 95%."""
    return NormalDist().inv_cdf((1 + confidence) / 2)
