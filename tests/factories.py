"""Small factories: one row of each kind with sensible values, everything overridable by keyword.

They write the rows of the rooms at the bottom (staff, members). What has a real writer (points, tiers,
imports, runs) is made by that writer in the tests.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import count
from typing import Any

from django.contrib.auth.hashers import make_password
from django.utils import timezone

from members import segments
from members.models import Consent, Interaction, Member, Purchase, Segment, SurveyResponse
from staff.models import User
from staff.permissions import Role

PASSWORD = "correct-horse-battery"

_serial = count(1)


@cache
def hash_of(password: str) -> str:
    """Hashed once: Argon2 is slow on purpose."""
    return make_password(password)


def make_user(role: str = Role.ADMINISTRATOR, *, password: str | None = PASSWORD, **fields: Any) -> User:
    """A person of the desk who can sign in with ``PASSWORD``."""
    number = next(_serial)
    values = {"email": f"{role}.{number}@example.com", "name": f"Lin Mei {number}", "role": role}
    hashed = make_password(None) if password is None else hash_of(password)
    return User.objects.create(password=hashed, **(values | fields))


def make_member(*, consents: dict[str, bool] | None = None, **fields: Any) -> Member:
    """A member with a name, an e-mail address and a phone; ``consents={"email": True}`` adds those."""
    number = next(_serial)
    values: dict[str, Any] = {
        "number": f"M-{number:08d}",
        "external_id": f"person-{number}",
        "given_name": "Xiaoyu",
        "family_name": "Wang",
        "email": f"member{number}@example.com",
        "phone": f"+86138{number:08d}",
        "gender": Member.Gender.FEMALE,
        "birth_date": date(1990, 5, 14),
        "joined_at": datetime(2022, 1, 3, 2, 0, tzinfo=UTC),
        "language": "zh-hans",
    }
    member = Member.objects.create(**(values | fields))
    for channel, granted in (consents or {}).items():
        make_consent(member, channel=channel, granted=granted)
    return member


def make_consent(member: Member, *, channel: str = "email", granted: bool = True, **fields: Any) -> Consent:
    """What a member said about one channel."""
    values: dict[str, Any] = {"changed_at": member.joined_at, "source": "enrolment"}
    return Consent.objects.create(member=member, channel=channel, granted=granted, **(values | fields))


def make_purchase(member: Member | None = None, *, amount: Decimal | str | int = "100.00", **fields: Any) -> Purchase:
    """A purchase, now and in the programme's currency unless told otherwise. It earns nothing by itself."""
    number = next(_serial)
    values: dict[str, Any] = {
        "key": f"purchase:{number}",
        "external_id": f"S-{number}",
        "purchased_at": timezone.now(),
        "amount": Decimal(amount),
        "currency": "CNY",
        "value": Decimal(amount),
        "channel": "store",
        "store": "Xujiahui",
    }
    return Purchase.objects.create(member=member or make_member(), **(values | fields))


def make_interaction(member: Member | None = None, *, kind: str = "check-in", **fields: Any) -> Interaction:
    """Something a member did that is no purchase."""
    values: dict[str, Any] = {"key": f"interaction:{next(_serial)}", "occurred_at": timezone.now(), "channel": "app"}
    return Interaction.objects.create(member=member or make_member(), kind=kind, **(values | fields))


def make_response(member: Member | None = None, *, score: int | None = 9, **fields: Any) -> SurveyResponse:
    """An answer to "would you recommend us"; anonymous without a member."""
    values: dict[str, Any] = {"key": f"response:{next(_serial)}", "answered_at": timezone.now()}
    return SurveyResponse.objects.create(member=member, score=score, **(values | fields))


def make_segment(name: str, *, members: Sequence[Member] | None = None, conditions: Any = None) -> Segment:
    """A segment that is built: of these members, or else of all for whom the conditions hold (active members)."""
    if members is not None:
        segment = Segment(name=name, kind=Segment.Kind.STATIC)
        segments.save(segment, user=None)
        segments.fill(segment, [member.pk for member in members])
        return segment
    tree = conditions or {"all": [{"fact": "member.status", "op": "in", "value": ["active"]}]}
    segment = Segment(name=name, kind=Segment.Kind.DYNAMIC, conditions=tree)
    segments.save(segment, user=None)
    segments.build(segment)
    return segment
