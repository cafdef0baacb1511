"""How figures are written: numbers, money, shares, changes and times, in the reader's language.

Times are shown in the programme's time zone and always say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

from babel.numbers import get_currency_precision
from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format, number_format, time_format
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

Number = float | Decimal

MINUS = "\u2212"
NO_BREAK = "\u00a0"
SYMBOLS = {"CNY": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "HKD": "HK$", "TWD": "NT$", "KRW": "₩"}
# So many colours the arms of a split bar have before they begin anew.
SERIES = 6
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 100.0, 28.0, 3.0


def size(value: Number) -> Number:
    """The value without its sign."""
    return value if value >= 0 else -value


def number(value: Number, places: int = 0) -> str:
    """A number with thousands separators, a true minus sign and ``places`` decimals."""
    # Django's number_format cuts digits off; a figure is rounded, halves up.
    with localcontext(prec=60):
        rounded = Decimal(str(size(value))).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = number_format(rounded, decimal_pos=places, use_l10n=True, force_grouping=True)
    is_zero = not any(digit in "123456789" for digit in text)
    return text if value >= 0 or is_zero else MINUS + text


def signed(value: Number, places: int = 0) -> str:
    """A number that always carries its sign, as for points gained and lost."""
    text = number(value, places)
    return text if text.startswith(MINUS) or not value else f"+{text}"


def money(value: Number, currency: str | None = None, places: int | None = None) -> str:
    """An amount in ``currency`` (the programme's by default), with the decimals that it has."""
    code = currency or settings.PROGRAMME_CURRENCY
    digits = number(size(value), get_currency_precision(code) if places is None else places)
    symbol = SYMBOLS.get(code, code + NO_BREAK)
    return f"{MINUS if value < 0 else ''}{symbol}{digits}"


def counts_in_ten_thousands() -> bool:
    """Whether the reader shortens large numbers by 10,000 (万) and not by 1,000, as Chinese does."""
    return (get_language() or "").startswith("zh")


def percent(share: Number, places: int = 1) -> str:
    """A share (0.384) as per cent (38.4%)."""
    return f"{number(share * 100, places)}%"


def when(moment: datetime) -> str:
    """A moment with its time zone: ``22 Nov 2026, 10:14 (Asia/Shanghai)``."""
    local = timezone.localtime(moment, timezone.get_default_timezone())
    return f"{day(local)} {time_format(local, 'H:i')} ({settings.TIME_ZONE})"


def moment(moment: datetime) -> str:
    """A moment without its zone, for rows under a head that names the zone."""
    local = timezone.localtime(moment, timezone.get_default_timezone())
    return f"{day(local)} {time_format(local, 'H:i')}"


def day(value: date | datetime) -> str:
    """A day: ``22 Nov 2026``."""
    if isinstance(value, datetime) and timezone.is_aware(value):
        value = timezone.localtime(value, timezone.get_default_timezone())
    return date_format(value, "DATE_FORMAT")


def duration(span: timedelta) -> str:
    """A length of time in one or two units."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return _("%(seconds)d s") % {"seconds": seconds}
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return _("%(minutes)d min") % {"minutes": minutes}
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}
    return ngettext("%(days)d day", "%(days)d days", hours // 24) % {"days": hours // 24}


def spark_path(points: Sequence[Number | None]) -> str:
    """The ``d`` of an SVG path through ``points`` in a box of 100 × 28; None leaves a gap."""
    known = [float(point) for point in points if point is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    scale = (SPARK_HEIGHT - 2 * SPARK_MARGIN) / (high - low) if high > low else 0.0
    step = SPARK_WIDTH / (len(points) - 1)
    parts: list[str] = []
    pen_down = False
    for index, point in enumerate(points):
        if point is None:
            pen_down = False
            continue
        y = SPARK_HEIGHT / 2 if not scale else SPARK_HEIGHT - SPARK_MARGIN - (float(point) - low) * scale
        parts.append(f"{'L' if pen_down else 'M'}{index * step:.2f} {y:.2f}")
        pen_down = True
    return "".join(parts)


@dataclass(frozen=True)
class PlacedArm:
    """One arm of a split bar; x, width and middle in per cent of the bar, written for SVG."""

    label: str
    percent: str
    x: str
    width: str
    middle: str
    series: str
    is_wide: bool


def series(place: int) -> str:
    """The colour of the arm at this place, from 0: the name that ``series-…`` classes end in."""
    return str(place % SERIES + 1)


def arms_placed(arms: Sequence[tuple[str, Number]]) -> list[PlacedArm]:
    """Lay shares out side by side. The last arm is grey when it is a holdout or control."""
    total = sum(float(share) for _label, share in arms) or 1.0
    placed: list[PlacedArm] = []
    start = 0.0
    for index, (label, share) in enumerate(arms):
        width = 100 * float(share) / total
        is_holdout = str(label).lower() in {"holdout", "control", _("holdout").lower(), _("control").lower()}
        placed.append(
            PlacedArm(
                label=str(label),
                percent=percent(width / 100, 0 if abs(width - round(width)) < 0.05 else 1),
                x=f"{start:.3f}",
                width=f"{width:.3f}",
                middle=f"{start + width / 2:.3f}",
                series="holdout" if is_holdout else series(index),
                is_wide=width >= 14,
            )
        )
        start += width
    return placed
