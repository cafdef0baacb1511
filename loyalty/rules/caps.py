"""What the caps of rules have let through, kept in ``loyalty_capuse``.

The accounts of the members are locked first, which is lock enough for caps of one member. Rows of caps
of the whole programme are locked next, all of them in one order, and stay so until the transaction
ends: of purchases that race, each sees what the one before it used.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from django.conf import settings
from django.db.backends.utils import CursorWrapper

from loyalty.models import RuleVersion
from loyalty.policies import settings_now
from loyalty.rules.definition import Cap
from loyalty.rules.events import PURCHASE
from loyalty.rules.results import CapKey, Terms, Used
from loyalty.rules.versions import terms_of

NOTHING: Final = Used()
_ORDER: Final = attrgetter("order")


class CapBook:
    """The caps that one transaction uses: read once, counted in memory, written at the end."""

    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor
        self._new: dict[CapKey, Used] = {}
        self.used: dict[CapKey, Used] = {}

    def lock_programme(self, versions: Iterable[Terms]) -> None:
        """Lock the programme's rows for all days of ``loyalty_events`` (a temporary table; column ``at``), in order."""
        if shared := _programme_caps(versions):
            self._cursor.execute(_DAYS, {"zone": settings.TIME_ZONE})
            days = [row[0] for row in self._cursor.fetchall()]
            self.load({terms.cap_key(cap, day, None) for terms, cap in shared for day in days})

    def load(self, keys: Iterable[CapKey]) -> None:
        """Read what is used of these caps, and lock the rows of the programme's."""
        wanted = sorted(set(keys) - self.used.keys(), key=_ORDER)
        if not wanted:
            return
        shared = [key for key in wanted if key.member_id is None]
        if shared:
            self._cursor.execute(_OPEN, _arrays(shared))
        for statement, some in ((_LOCK, shared), (_READ, [key for key in wanted if key.member_id is not None])):
            if some:
                self._cursor.execute(statement, _arrays(some))
                for *key, points, money in self._cursor.fetchall():
                    self.used[CapKey(*key)] = Used(points, money)
        for key in wanted:
            self.used.setdefault(key, NOTHING)

    def use(self, uses: Mapping[CapKey, Used]) -> None:
        """Count what an award used."""
        for key, used in uses.items():
            self.used[key] = self.used.get(key, NOTHING).plus(used)
            self._new[key] = self._new.get(key, NOTHING).plus(used)

    def save(self) -> None:
        """Write what was counted."""
        write(self._cursor, self._new)
        self._new = {}


def share_caps(versions: Iterable[Terms]) -> bool:
    """Whether members share a cap over time, so that what one earns can cut what another does."""
    return bool(_programme_caps(versions))


def write(cursor: CursorWrapper, uses: Mapping[CapKey, Used]) -> None:
    """Add to what is used; the accounts and the programme's rows are locked."""
    keys = sorted(uses, key=_ORDER)
    if keys:
        cursor.execute(_ADD, _arrays(keys) | _amounts(uses, keys))


def give_back(cursor: CursorWrapper, batch: str) -> None:
    """Give the caps their room back that entries about to be undone have used.

    ``batch`` is a temporary table of ``entry_id``; the accounts are locked. Only for what is undone as if it
    had never been (an import): a refund gives nothing back, or whoever buys and returns would never reach a cap.
    """
    if not batch.isidentifier():
        raise ValueError(batch)
    cursor.execute(_CAPPED.replace("{batch}", batch), {"zone": settings.TIME_ZONE})
    found = cursor.fetchall()
    versions = {row[0] for row in found}
    terms = {one.pk: terms_of(one) for one in RuleVersion.objects.filter(pk__in=versions).select_related("rule")}
    uses: dict[CapKey, Used] = {}
    worth = settings_now().point_value if found else Decimal(0)
    for version, member_id, day, points in found:
        for cap in terms[version].definition.caps:
            if cap.per != PURCHASE:
                key = terms[version].cap_key(cap, day, member_id)
                uses[key] = uses.get(key, NOTHING).plus(Used(int(points), points * worth))
    keys = sorted(uses, key=_ORDER)
    if keys:
        cursor.execute(_TAKE, _arrays(keys) | _amounts(uses, keys))


def _programme_caps(versions: Iterable[Terms]) -> list[tuple[Terms, Cap]]:
    """The caps that all members use up together, over time."""
    return [
        (terms, cap)
        for terms in versions
        for cap in terms.definition.caps
        if cap.of == "programme" and cap.per != PURCHASE
    ]


def _amounts(uses: Mapping[CapKey, Used], keys: list[CapKey]) -> dict[str, Any]:
    return {"points": [uses[key].points for key in keys], "money": [uses[key].money for key in keys]}


def _arrays(keys: list[CapKey]) -> dict[str, Any]:
    rules, pers, ofs, starts, members = zip(*keys, strict=True)
    return {
        "rules": list(rules),
        "pers": list(pers),
        "ofs": list(ofs),
        "starts": list(starts),
        "members": list(members),
    }


_DAYS: Final = "SELECT DISTINCT (at AT TIME ZONE %(zone)s)::date FROM loyalty_events ORDER BY 1"

_WANTED: Final = """unnest(%(rules)s::bigint[], %(pers)s::text[], %(ofs)s::text[], %(starts)s::date[],
                              %(members)s::bigint[])
    WITH ORDINALITY AS wanted (rule_id, per, "of", period_start, member_id, place)"""

_OPEN: Final = f"""
INSERT INTO loyalty_capuse (rule_id, per, "of", period_start, member_id, points, money)
SELECT rule_id, per, "of", period_start, member_id, 0, 0 FROM {_WANTED} ORDER BY place
ON CONFLICT DO NOTHING
"""  # noqa: S608

_LOCK: Final = f"""
SELECT capuse.rule_id, capuse.per, capuse."of", capuse.period_start, capuse.member_id, capuse.points, capuse.money
  FROM {_WANTED} JOIN loyalty_capuse capuse USING (rule_id, per, "of", period_start)
 WHERE capuse.member_id IS NULL ORDER BY place FOR UPDATE OF capuse
"""  # noqa: S608

_READ: Final = f"""
SELECT capuse.rule_id, capuse.per, capuse."of", capuse.period_start, capuse.member_id, capuse.points, capuse.money
  FROM {_WANTED} JOIN loyalty_capuse capuse USING (rule_id, per, "of", period_start, member_id)
"""  # noqa: S608

_ADD: Final = """
INSERT INTO loyalty_capuse AS capuse (rule_id, per, "of", period_start, member_id, points, money)
SELECT * FROM unnest(%(rules)s::bigint[], %(pers)s::text[], %(ofs)s::text[], %(starts)s::date[], %(members)s::bigint[],
                     %(points)s::bigint[], %(money)s::numeric[])
ON CONFLICT (rule_id, per, "of", period_start, member_id) DO UPDATE
   SET points = capuse.points + excluded.points, money = capuse.money + excluded.money
"""

# What entries have earned by versions with caps, by version, member and day.
_CAPPED: Final = """
SELECT version.id, entry.member_id, (entry.occurred_at AT TIME ZONE %(zone)s)::date, sum(entry.points)
  FROM {batch} JOIN loyalty_entry entry ON entry.id = entry_id
  JOIN loyalty_ruleversion version ON version.id = entry.rule_version_id
 WHERE jsonb_array_length(version.definition->'caps') > 0
 GROUP BY 1, 2, 3
"""

_TAKE: Final = """
UPDATE loyalty_capuse capuse SET points = greatest(capuse.points - given.points, 0),
       money = greatest(capuse.money - given.money, 0)
  FROM unnest(%(rules)s::bigint[], %(pers)s::text[], %(ofs)s::text[], %(starts)s::date[], %(members)s::bigint[],
              %(points)s::bigint[], %(money)s::numeric[])
       AS given(rule_id, per, "of", period_start, member_id, points, money)
 WHERE (capuse.rule_id, capuse.per, capuse."of", capuse.period_start)
       = (given.rule_id, given.per, given."of", given.period_start)
   AND capuse.member_id IS NOT DISTINCT FROM given.member_id
"""
