"""Many interactions in one transaction, by sets as an import takes them in, and with a word on each."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from loyalty import ledger, rules
from loyalty.intake.batch import TooMuch, without_refused
from loyalty.intake.earning import earn_for_done
from loyalty.intake.interactions import InteractionDiffers, refuse_difference
from loyalty.intake.recording import LiesInTheFuture
from loyalty.rules import TooManyPoints
from loyalty.rules.events import INTERACTION
from loyalty.rules.gathering import members_named, numbers_named
from members.importing.dates import latest_moment
from members.models import Interaction

# What came of one: the interaction and whether it is new, or why it was refused.
Outcome = tuple[Interaction, bool] | LiesInTheFuture | InteractionDiffers | TooManyPoints


def record_interactions(deeds: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Take interactions in, each as :func:`~loyalty.intake.record_interaction`, and say in order what came of each.

    A deed holds all arguments of that function. What one is refused for stands in its place instead of being raised.
    """
    return without_refused(partial(_record, [Interaction(**deed) for deed in deeds]))


def points_of(interactions: Sequence[Interaction]) -> dict[int, int]:
    """What the members who did these earned by them, by the interaction's id."""
    with connection.cursor() as cursor:
        cursor.execute(_POINTS, [list({interaction.pk for interaction in interactions})])
        return dict(cursor.fetchall())


def _record(deeds: Sequence[Interaction], refused: Mapping[str, TooManyPoints]) -> list[Outcome]:
    latest = latest_moment()
    possible = [deed for deed in deeds if deed.occurred_at <= latest]
    with connection.cursor() as cursor:
        named = _named(cursor, possible)
        # Before any key is written, as for one by itself: who has an account waits for no key but its own.
        ledger.lock_members(cursor, sorted({*(deed.member_id for deed in possible), *named.values()}))
        keys = [deed.key for deed in possible]
        known = {found.key: found for found in Interaction.objects.filter(key__in=keys)}
        new: dict[str, Interaction] = {}
        outcomes = [
            LiesInTheFuture(deed.occurred_at.isoformat())
            if deed.occurred_at > latest
            else refused.get(deed.key) or _sorted_out(deed, known, new)
            for deed in deeds
        ]
        if new:
            # Tried again they are written anew.
            for deed in new.values():
                deed.pk = None
            Interaction.objects.bulk_create(new.values())
            _earn(cursor, list(new.values()), named)
    return outcomes


def _named(cursor: CursorWrapper, deeds: Sequence[Interaction]) -> dict[str, int]:
    """The members whom these name, by the rules that were in force then."""
    if not deeds:
        return {}
    moments = [deed.occurred_at for deed in deeds]
    terms = [one for one in rules.Period(min(moments), max(moments)).terms if one.definition.event == INTERACTION]
    return members_named(cursor, numbers_named(terms, (deed.properties for deed in deeds)))


def _sorted_out(deed: Interaction, known: Mapping[str, Interaction], new: dict[str, Interaction]) -> Outcome:
    """New, a repetition of what is there or stands earlier in the batch, or something else under the same key."""
    first = known.get(deed.key) or new.get(deed.key)
    if first is None:
        new[deed.key] = deed
        return deed, True
    try:
        refuse_difference(first, deed)
    except InteractionDiffers as refusal:
        return refusal
    return first, False


def _earn(cursor: CursorWrapper, new: Sequence[Interaction], named: Mapping[str, int]) -> None:
    """Give what they earn; the accounts are locked."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_done")
    cursor.execute(
        "CREATE TEMPORARY TABLE loyalty_done ON COMMIT DROP AS"
        " SELECT id, member_id, occurred_at AS at FROM members_interaction WHERE id = ANY(%s)",
        [[deed.pk for deed in new]],
    )
    cursor.execute("ANALYZE loyalty_done")
    try:
        earn_for_done(cursor, INTERACTION, now=timezone.now(), named=named)
    except TooManyPoints as error:
        keys = {deed.pk: deed.key for deed in new}
        raise TooMuch({keys[pk]: TooManyPoints(error.rule) for pk in error.events}) from error


# What whom it names got has a key of its own.
_POINTS = """
SELECT done.id, sum(entry.points)::bigint
  FROM unnest(%s::bigint[]) AS done(id) CROSS JOIN loyalty_earningrule rule
  JOIN loyalty_entry entry ON entry.idempotency_key = 'interaction:' || done.id || ':rule:' || rule.id
 GROUP BY done.id
"""
