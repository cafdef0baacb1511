"""What earning rules can ask of an event, and how each is read from it.

For the condition language, in the vocabularies of purchases, of interactions, and of one line of a
purchase. Facts about the member hold as at the event.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from psycopg import sql

from loyalty.facts import tiers
from loyalty.rules.events import EVENT_KINDS, INTERACTION, PURCHASE, SURVEY, Case, EventKind, Need
from loyalty.rules.vocabulary import Read, kept, named, number, on, on_line, one_of, yes_no
from members.conditions.facts import Choice, Fact, FactType
from members.facts import LIFECYCLE, MONTHS, RECENT_DAYS, YEAR_DAYS, attribute_names, interaction_kinds, segments
from members.models import Member

THE_PURCHASE = _("Purchase")
THE_LINE = _("Line of the purchase")
THE_INTERACTION = _("Interaction")
THE_ANSWER = _("Survey answer")
THE_TIME = _("Time")
THE_MEMBER = _("Member")

WEEKDAYS: Final[list[Choice]] = [
    ("1", _("Monday")),
    ("2", _("Tuesday")),
    ("3", _("Wednesday")),
    ("4", _("Thursday")),
    ("5", _("Friday")),
    ("6", _("Saturday")),
    ("7", _("Sunday")),
]

A_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")

# A look at the newest purchases is enough to suggest names; all of them would be a scan.
_NEWEST: Final = {
    "channel": "SELECT DISTINCT channel FROM (SELECT channel FROM members_purchase ORDER BY id DESC LIMIT 2000) newest"
    " WHERE channel <> '' ORDER BY 1 LIMIT 50",
    "store": "SELECT DISTINCT store FROM (SELECT store FROM members_purchase ORDER BY id DESC LIMIT 2000) newest"
    " WHERE store <> '' ORDER BY 1 LIMIT 100",
    "category": "SELECT DISTINCT category FROM (SELECT category FROM members_purchase ORDER BY id DESC LIMIT 2000)"
    " newest WHERE category <> '' ORDER BY 1 LIMIT 100",
    "survey": "SELECT DISTINCT survey FROM (SELECT survey FROM members_surveyresponse ORDER BY id DESC LIMIT 2000)"
    " newest ORDER BY 1 LIMIT 50",
}


def lifecycle(case: Case) -> str | None:
    """The member's stage before the event, see ``members.facts.LIFECYCLE``; None where purchases were not gathered."""
    if case.facts.nth is None:
        return None
    if case.facts.previous_at is None or case.facts.first_at is None:
        return "prospect"
    if _days_since(case, case.facts.first_at) <= RECENT_DAYS:
        return "new"
    since = _days_since(case, case.facts.previous_at)
    return "active" if since <= RECENT_DAYS else "lapsing" if since <= YEAR_DAYS else "dormant"


def _days_since(case: Case, moment: datetime) -> int:
    """Full days of the programme's zone between then and the event."""
    return (case.event.local.date() - moment.astimezone(timezone.get_default_timezone()).date()).days


def _since_last(case: Case, _parameter: Any) -> int | None:
    return None if case.facts.previous_at is None else _days_since(case, case.facts.previous_at)


def _joined_days(case: Case, _parameter: Any) -> int | None:
    return None if case.facts.joined_at is None else _days_since(case, case.facts.joined_at)


def _age(case: Case, _parameter: Any) -> int | None:
    born, today = case.facts.birth_date, case.event.local.date()
    if born is None or born > today:
        return None
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _is_birthday(born: date | None, today: date) -> bool | None:
    """Whether it is the birthday; of those born on 29 February also 28 February of other years."""
    if born is None:
        return None
    leap = born.month == 2 and born.day == 29 and (today.year % 4 != 0 or (today.year % 100 == 0 and today.year % 400))
    return (today.month, today.day) == ((2, 28) if leap else (born.month, born.day))


def _property(case: Case, name: Any) -> str | None:
    value = case.event.properties.get(name)
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _property_number(case: Case, name: Any) -> Decimal | None:
    text = _property(case, name)
    return Decimal(text) if text is not None and A_NUMBER.fullmatch(text) else None


def _attribute(case: Case, name: Any) -> str | None:
    value = (case.facts.attributes or {}).get(name)
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _choices_of(column: str) -> Callable[[], Sequence[Choice]]:
    def choices() -> Sequence[Choice]:
        with connection.cursor() as cursor:
            cursor.execute(_NEWEST[column])
            return [(row[0], row[0]) for row in cursor.fetchall()]

    return choices


def _register_purchase() -> None:
    bought: tuple[EventKind, ...] = (PURCHASE,)
    amount = _("the amount")
    on(
        bought,
        number("purchase.amount", THE_PURCHASE, _("Amount"), amount, FactType.MONEY),
        lambda case, _p: case.event.value,
    )
    for name, label, what in (
        ("channel", _("Channel"), _("the channel")),
        ("store", _("Store"), _("the store")),
        ("category", _("Category of the purchase"), _("the category of the purchase")),
    ):
        on(bought, one_of(f"purchase.{name}", THE_PURCHASE, label, what, _choices_of(name)), _field(name))
    on(
        bought,
        yes_no(
            "purchase.is_first",
            THE_PURCHASE,
            _("First purchase"),
            _("it is the member's first purchase"),
            _("it is not the member's first purchase"),
        ),
        lambda case, _p: None if case.facts.nth is None else case.facts.nth == 1,
        Need.HISTORY,
    )
    on(
        bought,
        number(
            "purchase.nth",
            THE_PURCHASE,
            _("Which purchase of the member"),
            _("the number of the member's purchase"),
            minimum=1,
        ),
        lambda case, _p: case.facts.nth,
        Need.HISTORY,
    )
    on(
        bought,
        number(
            "purchase.days_since_last",
            THE_PURCHASE,
            _("Days since the purchase before"),
            _("the time since the purchase before"),
            unit=_("days"),
        ),
        _since_last,
        Need.HISTORY,
    )


def _field(name: str) -> Read:
    return lambda case, _parameter: getattr(case.event, name)


def _register_lines() -> None:
    for name, label, what in (
        ("product", _("Product"), _("the product")),
        ("sku", _("Article number"), _("the article number")),
        ("brand", _("Brand"), _("the brand")),
        ("category", _("Category"), _("the category")),
    ):
        on_line(one_of(f"line.{name}", THE_LINE, label, what, lambda: ()), attrgetter(name))
    on_line(
        number("line.amount", THE_LINE, _("Amount of the line"), _("the amount of the line"), FactType.MONEY),
        attrgetter("value"),
    )
    on_line(
        number("line.quantity", THE_LINE, _("Quantity"), _("the quantity"), FactType.NUMBER), attrgetter("quantity")
    )


def _register_interaction() -> None:
    done: tuple[EventKind, ...] = (INTERACTION,)
    on(
        done,
        one_of("interaction.kind", THE_INTERACTION, _("Kind"), _("the interaction"), interaction_kinds),
        _field("interaction"),
    )
    on(
        done,
        one_of("interaction.channel", THE_INTERACTION, _("Channel"), _("the channel"), lambda: ()),
        _field("channel"),
    )
    its = _("its %(name)s")
    on(
        done,
        named("interaction.property", THE_INTERACTION, _("Property"), its, FactType.TEXT),
        _property,
    )
    on(
        done,
        named("interaction.property_number", THE_INTERACTION, _("Property, as a number"), its, FactType.NUMBER),
        _property_number,
    )


def _register_answer() -> None:
    answered: tuple[EventKind, ...] = (SURVEY,)
    on(
        answered,
        one_of("survey.name", THE_ANSWER, _("Survey"), _("the survey"), _choices_of("survey")),
        _field("survey"),
    )
    on(answered, number("survey.score", THE_ANSWER, _("Score"), _("the score"), maximum=10), _field("score"))
    on(
        answered,
        yes_no(
            "survey.has_comment",
            THE_ANSWER,
            _("Comment"),
            _("the answer has a comment"),
            _("the answer has no comment"),
        ),
        _field("has_comment"),
    )


def _register_time() -> None:
    on(
        EVENT_KINDS,
        one_of("time.weekday", THE_TIME, _("Weekday"), _("the weekday"), lambda: WEEKDAYS),
        lambda case, _p: str(case.event.local.isoweekday()),
    )
    on(
        EVENT_KINDS,
        number("time.hour", THE_TIME, _("Hour of the day"), _("the hour of the day"), maximum=23),
        lambda case, _p: case.event.local.hour,
    )
    on(
        EVENT_KINDS,
        Fact(
            key="time.date",
            group=THE_TIME,
            label=_("Day"),
            type=FactType.DATE,
            phrases={
                "gte": _("the day is %(value)s or later"),
                "lt": _("the day is before %(value)s"),
                "between": _("the day is from %(low)s to %(high)s"),
            },
        ),
        lambda case, _p: case.event.local.date(),
    )
    on(
        EVENT_KINDS,
        number("time.day_of_month", THE_TIME, _("Day of the month"), _("the day of the month"), minimum=1, maximum=31),
        lambda case, _p: case.event.local.day,
    )
    on(
        EVENT_KINDS,
        one_of("time.month", THE_TIME, _("Month"), _("the month"), lambda: MONTHS),
        lambda case, _p: str(case.event.local.month),
    )


def _register_member() -> None:
    on(
        EVENT_KINDS,
        one_of("member.tier", THE_MEMBER, _("Tier"), _("the member's tier"), tiers),
        lambda case, _p: case.facts.tier,
        Need.TIER,
    )
    on(
        EVENT_KINDS,
        one_of("member.lifecycle", THE_MEMBER, _("Stage"), _("the member's stage"), lambda: LIFECYCLE),
        lambda case, _p: lifecycle(case),
        Need.HISTORY,
    )
    kept(
        one_of("member.segment", THE_MEMBER, _("Segment"), _("the member's segment"), segments),
        sql.SQL(
            "(SELECT coalesce(jsonb_agg(s.segment_id::text ORDER BY s.segment_id), '[]') FROM members_segmentmember s"
            " WHERE s.member_id = event.member_id AND s.entered_at <= event.at"
            " AND (s.left_at IS NULL OR s.left_at > event.at))"
        ),
    )


def _register_birthday() -> None:
    for key, label, yes, no, read in (
        (
            "member.in_birthday_month",
            _("Birthday month now"),
            _("it is the member's birthday month"),
            _("it is not the member's birthday month"),
            lambda case, _p: (
                None if case.facts.birth_date is None else case.facts.birth_date.month == case.event.local.month
            ),
        ),
        (
            "member.is_birthday",
            _("Birthday"),
            _("it is the member's birthday"),
            _("it is not the member's birthday"),
            lambda case, _p: _is_birthday(case.facts.birth_date, case.event.local.date()),
        ),
    ):
        on(EVENT_KINDS, yes_no(key, THE_MEMBER, label, yes, no), read, Need.PERSON)
    on(
        EVENT_KINDS,
        one_of(
            "member.birthday_month", THE_MEMBER, _("Birthday month"), _("the member's birthday month"), lambda: MONTHS
        ),
        lambda case, _p: None if case.facts.birth_date is None else str(case.facts.birth_date.month),
        Need.PERSON,
    )


def _register_person() -> None:
    on(
        EVENT_KINDS,
        one_of("member.gender", THE_MEMBER, _("Gender"), _("the member's gender"), lambda: Member.Gender.choices),
        lambda case, _p: case.facts.gender,
        Need.PERSON,
    )
    on(
        EVENT_KINDS,
        one_of(
            "member.language",
            THE_MEMBER,
            _("Language"),
            _("the member's language"),
            lambda: list(settings.LANGUAGES),
        ),
        lambda case, _p: case.facts.language,
        Need.PERSON,
    )
    on(EVENT_KINDS, number("member.age", THE_MEMBER, _("Age"), _("the member's age")), _age, Need.PERSON)
    on(
        EVENT_KINDS,
        number("member.joined_days", THE_MEMBER, _("Days since joining"), _("the time since joining"), unit=_("days")),
        _joined_days,
        Need.PERSON,
    )
    on(
        EVENT_KINDS,
        named(
            "member.attribute",
            THE_MEMBER,
            _("Attribute"),
            _("the member's %(name)s"),
            FactType.TEXT,
            default="city",
            suggestions=attribute_names,
        ),
        _attribute,
        Need.PERSON,
    )


_register_purchase()
_register_lines()
_register_interaction()
_register_answer()
_register_time()
_register_member()
_register_birthday()
_register_person()
