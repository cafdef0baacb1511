"""A version over months of real history: what it would have given, beside what was really given.

Part by part, each in a transaction of its own that writes nothing that stays. Every event is reckoned by the same
engine as intake, by the rules that were in force then, with this version in the place of its rule's. A part is a range
of members over the whole time, so that each member's tiers are walked through once. Only where members use caps up
together, which goes in order of time, a part is a week of everybody.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from loyalty import tiers
from loyalty.models import RuleVersion
from loyalty.months import add_months
from loyalty.policies import settings_now
from loyalty.rules import gathering, reasons
from loyalty.rules.engine import needs, reckon
from loyalty.rules.events import PURCHASE, Need
from loyalty.rules.occasions import Rewarded
from loyalty.rules.results import CapKey, Terms, TooManyPoints, Used
from loyalty.rules.versions import Period, terms_of
from members.models import Member
from staff import figures, jobs
from staff.models import Job, User

JOB: Final = "backtest-rule"
# Members of one transaction, by id range.
CHUNK: Final = 4_000
WEEK: Final = timedelta(days=7)
MOST_MONTHS: Final = 60


@dataclass
class Sums:
    """Points that this rule would have given and really gave, and all rules together; and how many events.

    ``left`` are the points of all rules that would be outstanding at the end, had members spent what they did, and
    those that are.
    """

    events: int = 0
    would: int = 0
    really: int = 0
    all_would: int = 0
    all_really: int = 0
    left_would: int = 0
    left_really: int = 0

    def add(self, other: "Sums") -> None:
        """One event more."""
        for name, number in vars(other).items():
            setattr(self, name, getattr(self, name) + number)

    def told(self, point_value: Decimal) -> dict[str, Any]:
        """For the job's result; costs are points times what a point is worth now."""
        return {
            **vars(self),
            "cost_would": f"{self.would * point_value:.2f}",
            "cost_really": f"{self.really * point_value:.2f}",
            "cost_change": f"{(self.all_would - self.all_really) * point_value:.2f}",
            "liability_would": f"{self.left_would * point_value:.2f}",
            "liability_really": f"{self.left_really * point_value:.2f}",
        }


@dataclass
class Tally:
    """What came of it so far. ``changes`` are the points that members would get more or less than they got."""

    total: Sums = field(default_factory=Sums)
    by_month: dict[str, Sums] = field(default_factory=dict)
    by_tier: dict[str, Sums] = field(default_factory=dict)
    changes: Counter[int] = field(default_factory=Counter)
    rewarded: set[int] = field(default_factory=set)

    def add(self, month: str, tier: str, one: Sums) -> None:
        """One event more."""
        self.total.add(one)
        self.by_month.setdefault(month, Sums()).add(one)
        self.by_tier.setdefault(tier, Sums()).add(one)


class _Real(NamedTuple):
    """What an event really gave one member: by the rule, by all, and of that what is left and what was taken."""

    member_id: int
    own: int
    every: int
    left: int
    taken: int


def start(version: RuleVersion, months: int, user: User | None) -> Job:
    """Run a version over the last so many months (1 to 60). The result is described at :func:`run`."""
    if not 1 <= months <= MOST_MONTHS:
        raise ValueError(f"a backtest covers 1 to {MOST_MONTHS} months, not {months}")
    return jobs.start(JOB, title=title(version), payload={"version": version.pk, "months": months}, user=user)


def title(version: RuleVersion) -> str:
    """What a backtest of it is called, in the language of who reads it."""
    return _("Backtest of %(rule)s, version %(version)d") % {"rule": version.rule.name, "version": version.version}


@jobs.handler(JOB)
def run(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Reckon the history anew.

    The result: ``summary``; under ``detail`` the version, ``since`` and ``until``, ``total``,
    ``by_month`` (``{"2026-05": …}``) and ``by_tier`` (each as :meth:`Sums.told`), ``members`` who would get
    points of the rule, and how many get ``more`` or ``less`` in all than they got.
    """
    version = RuleVersion.objects.select_related("rule").get(pk=job.payload["version"])
    until = timezone.now()
    history = _History(terms_of(version), add_months(until, -int(job.payload["months"])), until)
    parts = history.parts()
    progress.update(0, total=len(parts), step=_("reckoning the history anew"))
    for number, part in enumerate(parts, 1):
        with transaction.atomic(), connection.cursor() as cursor, progress.interruptible():
            try:
                history.reckon(cursor, *part)
            except TooManyPoints as error:
                raise jobs.Failed(reasons.too_many(error)) from error
        progress.update(number)
    return _result(job, version, history)


# From which member to which, after when until when.
_Part = tuple[int, int, datetime, datetime]


class _History:
    """The history as it would have been, part by part."""

    def __init__(self, draft: Terms, since: datetime, until: datetime) -> None:
        self.draft, self.since, self.until = draft, since, until
        self.kind = draft.definition.event
        self.period = Period(since, until)
        self.terms = [draft, *(one for one in self.period.terms if one.definition.event == self.kind)]
        self.worth = settings_now().point_value
        self.tally = Tally()
        # Members use these up together.
        self.is_shared = any(
            one.definition.also or cap.of == "programme"
            for one in self.terms
            for cap in one.definition.caps
            if cap.per != PURCHASE
        )
        self._used: dict[CapKey, Used] = {}
        self._rewarded = Rewarded()

    def parts(self) -> list[_Part]:
        """All of it, once."""
        last = Member.objects.aggregate(last=Max("pk"))["last"] or 0
        if self.is_shared:
            weeks = (self.until - self.since) // WEEK + 1
            starts = [self.since + number * WEEK for number in range(weeks)]
            return [(0, last, start, min(start + WEEK, self.until)) for start in starts]
        return [(first, first + CHUNK - 1, self.since, self.until) for first in range(0, last + 1, CHUNK)]

    def reckon(self, cursor: CursorWrapper, first: int, last: int, since: datetime, until: datetime) -> None:
        """One part."""
        cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_events")
        cursor.execute(_EVENTS[self.kind], [first, last, since, until])
        cursor.execute("ANALYZE loyalty_events")
        cursor.execute("SELECT member_id, min(at) FROM loyalty_events GROUP BY member_id")
        firsts = dict(cursor.fetchall())
        if not firsts:
            return
        look = tiers.Look(cursor, list(firsts), ladder=tiers.ladder(), now=self.until, since=firsts)
        really = self._really(cursor)
        named = gathering.members_named_in(cursor, self.terms, _DONE, "properties")
        wanted = needs(self.terms) | Need.TIER
        for batch in gathering.of_many(cursor, self.kind, wanted, look.before, named=named):
            for one in batch:
                self._count(one, really.get(one.id, []))
        if not self.is_shared:
            self._rewarded = Rewarded()
        # Of what began long before the end of a week, only caps in total still ask.
        month = (until - 2 * WEEK).date().replace(day=1)
        kept = self._used.items() if self.is_shared else ()
        self._used = {key: use for key, use in kept if key.per == "total" or key.period_start >= month}

    def _really(self, cursor: CursorWrapper) -> dict[int, list[_Real]]:
        found: dict[int, list[_Real]] = {}
        statement = _PURCHASES if self.kind == PURCHASE else _BEHAVIOUR
        cursor.execute(statement, {"rule": self.draft.rule_id, "kind": self.kind})
        for event_id, *real in cursor.fetchall():
            found.setdefault(event_id, []).append(_Real(*real))
        return found

    def _count(self, one: gathering.Gathered, real: Sequence[_Real]) -> None:
        """Reckon one event."""
        terms = [other for other in self.period.at(one.event.occurred_at) if other.rule_id != self.draft.rule_id]
        facts = self._rewarded.facts(one.member_id, one.facts)
        reckoning = reckon(one.event, facts, [*terms, self.draft], self._used, point_value=self.worth)
        self._rewarded.note(one.id, reckoning.awards)
        would = everything = lasting = 0
        for award in reckoning.awards:
            for key, use in award.uses.items():
                self._used[key] = self._used.get(key, Used()).plus(use)
            everything += award.points
            if award.expires_at is None or award.expires_at > self.until:
                lasting += award.points
            receiver = award.member_id or one.member_id
            self.tally.changes[receiver] += award.points
            if award.terms is self.draft:
                would += award.points
                self.tally.rewarded.add(receiver)
        for given in real:
            self.tally.changes[given.member_id] -= given.every
        sums = Sums(
            events=1,
            would=would,
            really=sum(given.own for given in real),
            all_would=everything,
            all_really=sum(given.every for given in real),
            left_would=max(lasting - sum(given.taken for given in real), 0),
            left_really=sum(given.left for given in real),
        )
        self.tally.add(f"{one.event.local:%Y-%m}", one.facts.tier or "", sums)


def _result(job: Job, version: RuleVersion, history: _History) -> dict[str, Any]:
    tally, worth = history.tally, history.worth
    total = tally.total
    summary = _("%(would)s points would have been given by this rule, where %(really)s were; %(change)s in all.") % {
        "would": figures.number(total.would),
        "really": figures.number(total.really),
        "change": figures.signed(total.all_would - total.all_really),
    }
    return {
        "summary": summary,
        "links": [{"label": _("Open the result"), "url": reverse("loyalty:rules-backtest", args=[job.pk])}],
        "detail": {
            "version": version.pk,
            "since": history.since.isoformat(),
            "until": history.until.isoformat(),
            "zone": settings.TIME_ZONE,
            "currency": settings.PROGRAMME_CURRENCY,
            "members": len(tally.rewarded),
            "more": sum(change > 0 for change in tally.changes.values()),
            "less": sum(change < 0 for change in tally.changes.values()),
            "total": total.told(worth),
            "by_month": {month: sums.told(worth) for month, sums in sorted(tally.by_month.items())},
            "by_tier": {tier: sums.told(worth) for tier, sums in sorted(tally.by_tier.items())},
        },
    }


_EVENTS: Final = {
    "purchase": """
        CREATE TEMPORARY TABLE loyalty_events ON COMMIT DROP AS
        SELECT id, member_id, purchased_at AS at FROM members_purchase
         WHERE member_id BETWEEN %s AND %s AND purchased_at > %s AND purchased_at <= %s""",
    "interaction": """
        CREATE TEMPORARY TABLE loyalty_events ON COMMIT DROP AS
        SELECT id, member_id, occurred_at AS at FROM members_interaction
         WHERE member_id BETWEEN %s AND %s AND occurred_at > %s AND occurred_at <= %s""",
    "survey": """
        CREATE TEMPORARY TABLE loyalty_events ON COMMIT DROP AS
        SELECT id, member_id, answered_at AS at FROM members_surveyresponse
         WHERE member_id BETWEEN %s AND %s AND answered_at > %s AND answered_at <= %s""",
}

# What each event really gave each member: by the rule, by all, what of it is left, and what was spent or taken back.
# What was taken back later (a refund) was given all the same.
_GIVEN: Final = """entry.member_id,
               coalesce(sum(entry.points) FILTER (WHERE version.rule_id = %(rule)s), 0)::bigint,
               sum(entry.points)::bigint, coalesce(sum(lot.remaining), 0)::bigint,
               coalesce(sum(drawn.points), 0)::bigint"""
_LOTS: Final = """
          LEFT JOIN loyalty_ruleversion version ON version.id = entry.rule_version_id
          LEFT JOIN loyalty_lot lot ON lot.entry_id = entry.id
          LEFT JOIN LATERAL (
              SELECT sum(draw.points) AS points FROM loyalty_draw draw
                JOIN loyalty_entry taker ON taker.id = draw.entry_id
               WHERE draw.lot_id = lot.id AND taker.kind <> 'expire') drawn ON true
         WHERE entry.kind = 'earn'
           AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
         GROUP BY 1, 2"""
_PURCHASES: Final = f"""
        SELECT event.id, {_GIVEN}
          FROM loyalty_events event JOIN loyalty_entry entry ON entry.purchase_id = event.id {_LOTS}"""  # noqa: S608
_BEHAVIOUR: Final = f"""
        SELECT event.id, {_GIVEN}
          FROM loyalty_events event CROSS JOIN loyalty_earningrule rule CROSS JOIN unnest(ARRAY['', ':also']) AS part
          JOIN loyalty_entry entry
            ON entry.idempotency_key = %(kind)s || ':' || event.id || ':rule:' || rule.id || part {_LOTS}"""  # noqa: S608
_DONE: Final = "loyalty_events JOIN members_interaction USING (id)"
