"""What the member page says of one member at a glance."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, F, Max, Min, Sum
from django.utils import timezone

from members.models import Consent, Member

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Year:
    """A member's purchases of the last 365 days, in the programme's currency."""

    spend: Decimal
    orders: int
    first_at: datetime | None
    last_at: datetime | None

    @property
    def average(self) -> Decimal | None:
        """Spend per purchase; None without any."""
        return self.spend / self.orders if self.orders else None

    @property
    def rhythm_days(self) -> int | None:
        """Days between purchases on average; None with fewer than three, which show no rhythm."""
        if self.orders < 3 or self.first_at is None or self.last_at is None:
            return None
        return max(1, round((self.last_at - self.first_at) / timedelta(days=1) / (self.orders - 1)))

    @property
    def days_since(self) -> int | None:
        """Whole days since the last purchase, in the programme's days."""
        if self.last_at is None:
            return None
        zone = timezone.get_default_timezone()
        return (timezone.localdate(timezone=zone) - timezone.localdate(self.last_at, zone)).days


def last_year(member: Member) -> Year:
    """What the member bought in the last 365 days and did not give back."""
    now = timezone.now()
    kept = member.purchases.kept()
    found = kept.filter(purchased_at__gte=now - YEAR, purchased_at__lte=now).aggregate(
        spend=Sum(F("value") - F("refunded_value")),
        orders=Count("pk"),
        first=Min("purchased_at"),
        last=Max("purchased_at"),
    )
    return Year(found["spend"] or Decimal(0), found["orders"], found["first"], found["last"])


@dataclass(frozen=True)
class Agreement:
    """What a member said about one channel; ``consent`` is None where they were never asked."""

    channel: str
    label: str
    consent: Consent | None


def agreements(member: Member) -> list[Agreement]:
    """Every channel with what the member said about it."""
    said = {consent.channel: consent for consent in member.consents.all()}
    return [Agreement(value, str(label), said.get(value)) for value, label in Consent.Channel.choices]
