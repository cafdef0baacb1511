"""Enrolling a member and changing what is known of them, by machines that keep their own records of people."""

import zoneinfo
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from members.importing.dates import latest_moment
from members.models import Consent, Member
from staff import audit

SOURCE: Final = "api"


class Refused(ValueError):
    """A field does not hold what can be; ``field`` names it and ``reason`` says why: ``future``, ``not_a_zone``."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class Taken(ValueError):
    """Another member has this number or outside id; ``field`` says which of them."""

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(field)


@transaction.atomic
def enrol(*, fields: Mapping[str, Any], consents: Mapping[str, bool], by: str) -> Member:
    """Make a member; without a number they get the next one. ``by`` says in the audit who did it.

    ``fields`` are those of the model. Raises :class:`Taken` and :class:`Refused`.
    """
    _check(fields)
    values = {"joined_at": timezone.now()} | dict(fields)
    values["number"] = values.get("number") or _next_number()
    try:
        with transaction.atomic():
            member = Member.objects.create(**values)
    except IntegrityError as error:
        raise Taken(_taken(error)) from error
    _agree(member, consents)
    audit.record(None, "member.enrol", member, label=by)
    return member


@transaction.atomic
def change(member: Member, *, fields: Mapping[str, Any], consents: Mapping[str, bool], by: str) -> Member:
    """Write these fields and no others. What stays the same is not written. Raises :class:`Taken`, :class:`Refused`."""
    _check(fields)
    changed = {name: value for name, value in fields.items() if getattr(member, name) != value}
    for name, value in changed.items():
        setattr(member, name, value)
    if changed:
        try:
            with transaction.atomic():
                member.save(update_fields=[*changed, "updated_at"])
        except IntegrityError as error:
            raise Taken(_taken(error)) from error
    agreed = _agree(member, consents)
    if changed or agreed:
        audit.record(None, "member.change", member, detail={"fields": sorted([*changed, *agreed])}, label=by)
    return member


def _check(fields: Mapping[str, Any]) -> None:
    """What the type of a field does not say."""
    joined: datetime | None = fields.get("joined_at")
    if joined and joined > latest_moment():
        raise Refused("joined_at", "future")
    born: date | None = fields.get("birth_date")
    if born and born > timezone.localdate():
        raise Refused("birth_date", "future")
    zone = fields.get("time_zone")
    if zone and zone not in zoneinfo.available_timezones():
        raise Refused("time_zone", "not_a_zone")


def _agree(member: Member, consents: Mapping[str, bool]) -> list[str]:
    """Write what the member said about each channel, and return the channels whose consent is another now."""
    said = dict(Consent.objects.filter(member=member).values_list("channel", "granted"))
    new = [channel for channel, granted in consents.items() if said.get(channel) is not granted]
    now = timezone.now()
    Consent.objects.bulk_create(
        [
            Consent(member=member, channel=channel, granted=consents[channel], changed_at=now, source=SOURCE)
            for channel in new
        ],
        update_conflicts=True,
        unique_fields=["member", "channel"],
        update_fields=["granted", "changed_at", "source"],
    )
    return new


def _next_number() -> str:
    """A number in the form that an import gives too, past those that came from elsewhere."""
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT 'M' || lpad(nextval('members_member_number')::text, 8, '0')")
            number: str = cursor.fetchone()[0]
            if not Member.objects.filter(number=number).exists():
                return number


def _taken(error: IntegrityError) -> str:
    text = str(error)
    for field in ("external_id", "number"):
        if f"({field})" in text:
            return field
    raise error
