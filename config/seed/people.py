"""Who is in the sample programme: names, ages, addresses and when they enrolled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

# Each name with its pinyin.
FAMILY_ZH = [
    ("王", "wang"), ("李", "li"), ("张", "zhang"), ("刘", "liu"), ("陈", "chen"), ("杨", "yang"), ("赵", "zhao"),
    ("黄", "huang"), ("周", "zhou"), ("吴", "wu"), ("徐", "xu"), ("孙", "sun"), ("胡", "hu"), ("朱", "zhu"),
    ("高", "gao"), ("林", "lin"), ("何", "he"), ("郭", "guo"), ("马", "ma"), ("罗", "luo"), ("梁", "liang"),
    ("宋", "song"), ("郑", "zheng"), ("谢", "xie"), ("韩", "han"), ("唐", "tang"), ("冯", "feng"), ("于", "yu"),
]  # fmt: skip
GIVEN_ZH = [
    ("小雨", "xiaoyu"), ("伟", "wei"), ("芳", "fang"), ("娜", "na"), ("敏", "min"), ("静", "jing"), ("丽", "li"),
    ("强", "qiang"), ("磊", "lei"), ("洋", "yang"), ("艳", "yan"), ("勇", "yong"), ("杰", "jie"), ("娟", "juan"),
    ("涛", "tao"), ("明", "ming"), ("超", "chao"), ("秀英", "xiuying"), ("霞", "xia"), ("平", "ping"),
    ("刚", "gang"), ("桂英", "guiying"), ("子涵", "zihan"), ("浩然", "haoran"), ("欣怡", "xinyi"), ("雨桐", "yutong"),
    ("思远", "siyuan"), ("嘉怡", "jiayi"), ("梓萱", "zixuan"), ("俊杰", "junjie"),
    ("晓明", "xiaoming"), ("雪梅", "xuemei"),
]  # fmt: skip
FAMILY_EN = [
    "Smith",
    "Brown",
    "Garcia",
    "Müller",
    "Rossi",
    "Martin",
    "Nguyen",
    "Kim",
    "Novak",
    "Silva",
    "O’Brien",
    "Khan",
]
GIVEN_EN = ["Anna", "James", "Sofia", "Liam", "Emma", "Noah", "Clara", "Omar", "Julia", "Peter", "Maria", "David"]
CITIES = ["Shanghai", "Beijing", "Guangzhou", "Shenzhen", "Chengdu", "Hangzhou", "Nanjing", "Wuhan"]
CITY_SHARES = [0.27, 0.18, 0.13, 0.13, 0.10, 0.08, 0.06, 0.05]
ENGLISH_SHARE = 0.12


@dataclass(frozen=True, kw_only=True)
class Person:
    """One member to be written."""

    number: str
    external_id: str
    given_name: str
    family_name: str
    email: str
    phone: str
    gender: str
    birth_date: date | None
    joined_at: datetime
    language: str
    city: str
    email_consent: bool | None
    sms_consent: bool | None


def enrolment_days(rng: np.random.Generator, count: int, days: int) -> np.ndarray:
    """Days before the last day on which members enrolled: many in the first quarter year, steadily since."""
    early = rng.random(count) < 0.40
    return np.where(early, days - 90 * rng.random(count), days * rng.random(count)).clip(0, days - 1).astype(int)


def people(
    rng: np.random.Generator, *, first: int, count: int, last_day: date, days: int, zone: ZoneInfo
) -> list[Person]:
    """Draw members ``first`` to ``first + count - 1``; ``days`` is the length of the history."""
    ago = enrolment_days(rng, count, days)
    english = rng.random(count) < ENGLISH_SHARE
    seconds = rng.integers(9 * 3600, 21 * 3600, count)
    ages = rng.normal(36, 11, count).clip(18, 79)
    birthday_known = rng.random(count) < 0.84
    reachable = rng.random((count, 2))
    picks = rng.integers(0, 1_000_000, (count, 3))
    city = rng.choice(CITIES, count, p=CITY_SHARES)
    midnight = datetime(last_day.year, last_day.month, last_day.day, tzinfo=zone)
    rows = []
    for i in range(count):
        serial = first + i
        family, given, latin = _name(bool(english[i]), picks[i])
        rows.append(
            Person(
                number=f"M-{serial:07d}",
                external_id=f"CRM-{serial * 7919 % 10_000_000:07d}-{serial}",
                given_name=given,
                family_name=family,
                email=f"{latin}{serial}@example.com" if reachable[i][0] < 0.93 else "",
                phone=f"+8613{(serial * 104_729 + 17) % 1_000_000_000:09d}",
                gender=("F", "M", "")[0 if picks[i][2] % 100 < 55 else 1 if picks[i][2] % 100 < 96 else 2],
                birth_date=(last_day - timedelta(days=int(ages[i] * 365.25))) if birthday_known[i] else None,
                joined_at=midnight - timedelta(days=int(ago[i])) + timedelta(seconds=int(seconds[i])),
                language="en" if english[i] else "zh-hans",
                city=str(city[i]),
                email_consent=_consent(reachable[i][0]),
                sms_consent=_consent(reachable[i][1]),
            )
        )
    return rows


def _name(english: bool, picks: Sequence[int]) -> tuple[str, str, str]:
    """Family name, given name, and a Latin form for the e-mail address."""
    if english:
        family, given = FAMILY_EN[picks[0] % len(FAMILY_EN)], GIVEN_EN[picks[1] % len(GIVEN_EN)]
        return family, given, given.lower()
    zh_family, zh_given = FAMILY_ZH[picks[0] % len(FAMILY_ZH)], GIVEN_ZH[picks[1] % len(GIVEN_ZH)]
    return zh_family[0], zh_given[0], f"{zh_family[1]}.{zh_given[1]}"


def _consent(draw: float) -> bool | None:
    """Granted for most, withdrawn for some, never asked for the rest."""
    return True if draw < 0.82 else False if draw < 0.93 else None
