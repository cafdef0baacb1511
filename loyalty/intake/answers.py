"""Survey answers: written and rewarded in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from loyalty import ledger, rules, tiers
from loyalty.intake.earning import earn_for_one
from loyalty.models import Entry
from loyalty.rules import gathering
from loyalty.rules.events import SURVEY
from members import answers
from members.models import SurveyResponse


@dataclass(frozen=True, kw_only=True)
class RecordedAnswer:
    """An answer, the entries it earned, and whether it was new."""

    answer: SurveyResponse
    entries: Sequence[Entry]
    is_new: bool

    @property
    def points(self) -> int:
        """What it earned in all."""
        return sum(entry.points for entry in self.entries)


@transaction.atomic
def record_answer(
    *,
    key: str,
    member_id: int | None,
    survey: str,
    score: int | None,
    answered_at: datetime | None,
    comment: str = "",
    external_id: str = "",
    properties: Mapping[str, Any] | None = None,
) -> RecordedAnswer:
    """Take one answer in: it earns by the rules in force then; an anonymous one, or of an unknown day, nothing.

    Raises what :func:`members.answers.record_answer` does, and :class:`~loyalty.rules.TooManyPoints`.
    """
    terms = rules.Period(answered_at, answered_at).terms if answered_at else []
    earns = member_id is not None and any(one.definition.event == SURVEY for one in terms)
    with connection.cursor() as cursor:
        if earns and member_id is not None:
            ledger.lock_members(cursor, [member_id])
        answer, is_new = answers.record_answer(
            key=key,
            member_id=member_id,
            survey=survey,
            score=score,
            comment=comment,
            answered_at=answered_at,
            external_id=external_id,
            properties=properties,
        )
        if not is_new:
            return RecordedAnswer(answer=answer, entries=list(awards_of(answer)), is_new=False)
        if not earns or member_id is None or answered_at is None:
            return RecordedAnswer(answer=answer, entries=[], is_new=True)
        now = timezone.now()
        look = tiers.Look(cursor, [member_id], ladder=tiers.ladder(), now=now, since={member_id: answered_at})
        gathered = gathering.of_one(cursor, SURVEY, answer.pk, rules.needs(terms), look.before, named={})
        entries = earn_for_one(cursor, gathered, terms=terms, look=look)
        if any(entry.lot.expires_at and entry.lot.expires_at <= now for entry in entries):
            ledger.expire_members(cursor, [member_id], now)
        look.settle()
    return RecordedAnswer(answer=answer, entries=entries, is_new=True)


def awards_of(answer: SurveyResponse) -> QuerySet[Entry]:
    """What an answer earned."""
    keys = f"{SURVEY}:{answer.pk}:"
    return Entry.objects.filter(idempotency_key__startswith=keys, kind=Entry.Kind.EARN).order_by("pk")
