"""What the caps of rules have let through, kept in ``loyalty_capuse``.

The accounts of the members are locked first, which is lock enough for caps of one member. Rows of caps
of the whole programme are locked next, all of them in one order, and stay so until the transaction
ends: of purchases that race, each sees what the one before it used.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from loyalty.months import period_start
from loyalty.rules.engine import CapKey, Terms, Used
from loyalty.rules.events import PURCHASE

NOTHING: Final = Used()


class CapBook:
    """The caps that one transaction uses: read once, counted in memory, written at the end."""

    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor
        self._new: dict[CapKey, Used] = {}
        self.used: dict[CapKey, Used] = {}

    def lock_programme(self, versions: Iterable[Terms], purchases: str) -> None:
        """Lock the programme's rows for all days of the temporary table of purchases, in order."""
        per = {
            (terms.rule_id, cap.per)
            for terms in versions
            for cap in terms.definition.caps
            if cap.of == "programme" and cap.per != PURCHASE
        }
        if not per:
            return
        if not purchases.isidentifier():
            raise ValueError(purchases)
        self._cursor.execute(_DAYS.replace("{purchases}", purchases), {"zone": str(timezone.get_default_timezone())})
        days = [row[0] for row in self._cursor.fetchall()]
        self.load(
            {(rule_id, name, "programme", period_start(name, day), None) for rule_id, name in per for day in days}
        )

    def load(self, keys: Iterable[CapKey]) -> None:
        """Read what is used of these caps, and lock the rows of the programme's."""
        wanted = sorted(set(keys) - self.used.keys(), key=lambda key: (*key[:4], key[4] or 0))
        if not wanted:
            return
        shared = [key for key in wanted if key[4] is None]
        if shared:
            self._cursor.execute(_OPEN, _arrays(shared))
        for statement, some in ((_LOCK, shared), (_READ, [key for key in wanted if key[4] is not None])):
            if some:
                self._cursor.execute(statement, _arrays(some))
                for *key, points, money in self._cursor.fetchall():
                    self.used[tuple(key)] = Used(points, money)
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


def write(cursor: CursorWrapper, uses: Mapping[CapKey, Used]) -> None:
    """Add to what is used; the accounts and the programme's rows are locked."""
    keys = sorted(uses, key=lambda key: (*key[:4], key[4] or 0))
    if keys:
        amounts = {"points": [uses[key].points for key in keys], "money": [uses[key].money for key in keys]}
        cursor.execute(_ADD, _arrays(keys) | amounts)


def _arrays(keys: list[CapKey]) -> dict[str, Any]:
    rules, pers, ofs, starts, members = zip(*keys, strict=True)
    return {
        "rules": list(rules),
        "pers": list(pers),
        "ofs": list(ofs),
        "starts": list(starts),
        "members": list(members),
    }


_DAYS: Final = "SELECT DISTINCT (purchased_at AT TIME ZONE %(zone)s)::date FROM {purchases} ORDER BY 1"

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
