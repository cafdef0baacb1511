"""What the sample members do: buy with the seasons, drift away, answer surveys.

Buying follows the usual "buy till you die" picture (Fader, Hardie & Lee 2005, BG/NBD): each member buys
at a rate of their own (gamma) and, after each month, may leave for good (beta-distributed chance).
"""

from dataclasses import dataclass

import numpy as np

# Demand by calendar month, January first: spring festival, 618, Singles' Day.
SEASON = np.array([1.10, 0.82, 0.92, 0.95, 1.02, 1.22, 0.93, 0.95, 1.00, 1.05, 1.42, 1.18])
WEEKDAY = np.array([0.85, 0.83, 0.87, 0.95, 1.15, 1.30, 1.20])
CATEGORIES = ["coffee", "bakery", "beans", "equipment", "gifts"]
CATEGORY_SHARES = [0.46, 0.24, 0.16, 0.06, 0.08]
CATEGORY_PRICE = np.array([0.6, 0.5, 1.2, 4.2, 2.1])
CHANNELS = ["store", "app", "web"]
CHANNEL_SHARES = [0.55, 0.33, 0.12]
STORES = ["Xujiahui", "Jing’an", "Sanlitun", "Tianhe", "Nanshan", "Taikoo Li", "West Lake", "Xinjiekou"]


@dataclass(frozen=True)
class Traits:
    """What the members of one chunk are like; one element per member."""

    rate: np.ndarray  # purchases a month while they stay
    basket: np.ndarray  # usual amount of one purchase
    stays: np.ndarray  # months they stay after enrolment
    content: np.ndarray  # satisfaction, mean 0, spread 1
    joined: np.ndarray  # day of enrolment, 0 is the first day of the history


@dataclass(frozen=True)
class Purchases:
    """Purchases of one chunk in order of time; ``member`` is the index in the chunk."""

    member: np.ndarray
    second: np.ndarray  # since the first midnight of the history
    amount: np.ndarray
    category: np.ndarray
    channel: np.ndarray
    store: np.ndarray


def traits(rng: np.random.Generator, joined: np.ndarray) -> Traits:
    """Draw what the members are like. Content members leave later and buy a little more often."""
    count = len(joined)
    content = rng.normal(0, 1, count)
    leave = rng.beta(0.9, 9.0, count) * np.exp(-0.35 * content)
    stays = rng.geometric(leave.clip(0.004, 0.95)).astype(float)
    rate = rng.gamma(1.1, 1.15, count) * np.exp(0.12 * content)
    basket = rng.lognormal(np.log(120), 0.8, count)
    return Traits(rate=rate, basket=basket, stays=stays, content=content, joined=joined)


def purchases(rng: np.random.Generator, who: Traits, *, days: int, first_weekday: int, first_yearday: int) -> Purchases:
    """Draw all purchases over the history. The first one falls on the day of enrolment."""
    day = np.arange(days)
    month_of_year = ((first_yearday + day) % 365) * 12 // 365
    demand = np.cumsum(SEASON[month_of_year] * WEEKDAY[(first_weekday + day) % 7])
    demand = np.concatenate([[0.0], demand])
    leaves = np.minimum(days, who.joined + (who.stays * 30.4)).astype(int)
    weight = demand[leaves] - demand[np.minimum(who.joined + 1, days)]
    later = rng.poisson(np.maximum(weight, 0) / 30.4 * who.rate)
    member = np.repeat(np.arange(len(who.joined)), later)
    start, end = demand[np.minimum(who.joined + 1, days)][member], demand[leaves][member]
    drawn = np.searchsorted(demand, start + rng.random(len(member)) * (end - start), side="right") - 1
    member = np.concatenate([np.arange(len(who.joined)), member])
    bought_on = np.concatenate([who.joined, np.clip(drawn, 0, days - 1)])
    return _baskets(rng, who, member, bought_on)


def extra_purchases(rng: np.random.Generator, who: Traits, member: np.ndarray, first_day: int, days: int) -> Purchases:
    """Purchases that a campaign caused: one for each given member within the days after it."""
    return _baskets(rng, who, member, first_day + rng.integers(0, days, len(member)))


def _baskets(rng: np.random.Generator, who: Traits, member: np.ndarray, bought_on: np.ndarray) -> Purchases:
    count = len(member)
    hour = rng.choice([8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21], count, p=_HOURS)
    second = bought_on * 86_400 + hour * 3600 + rng.integers(0, 3600, count)
    order = np.argsort(second, kind="stable")
    member, second = member[order], second[order]
    category = rng.choice(len(CATEGORIES), count, p=CATEGORY_SHARES)
    amount = who.basket[member] * CATEGORY_PRICE[category] * rng.lognormal(0, 0.35, count)
    return Purchases(
        member=member,
        second=second,
        amount=np.round(np.maximum(amount, 6.0), 2),
        category=category,
        channel=rng.choice(len(CHANNELS), count, p=CHANNEL_SHARES),
        store=member % len(STORES),
    )


_HOURS = np.array([6, 8, 8, 7, 9, 8, 7, 8, 8, 8, 8, 7, 5, 3], dtype=float)
_HOURS /= _HOURS.sum()


def scores(rng: np.random.Generator, content: np.ndarray, when: np.ndarray) -> np.ndarray:
    """Answers 0 to 10 by satisfaction; ``when`` (0 to 1 through the history) lifts them a little."""
    raw = 7.9 + 1.25 * content + 0.9 * when + rng.normal(0, 1.5, len(content))
    return np.clip(np.round(raw), 0, 10).astype(int)
