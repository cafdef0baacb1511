"""A version over months of real history: what it would have given, beside what was really given.

Member by member range, each in a transaction of its own that writes nothing that stays. Every event is
reckoned by the same engine as intake, by the rules that were in force then, with this version in the
place of its rule's. A cap of the whole programme is used up in the order of the ranges, not of time.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

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
from loyalty.rules.results import CapKey, Terms, TooManyPoints, Used
from loyalty.rules.versions import Period, terms_of
from members.models import Member
from staff import figures, jobs
from staff.models import Job, User

JOB: Final = "backtest-rule"
# Members of one transaction, by id range.
CHUNK: Final = 4_000
MOST_MONTHS: Final = 60


@dataclass
class Sums:
    """Points that this rule would have given and really gave, and all rules together; and how many events."""

    events: int = 0
    would: int = 0
    really: int = 0
    all_would: int = 0
    all_really: int = 0

    def add(self, would: int, really: int, all_would: int, all_really: int) -> None:
        """One event more."""
        self.events += 1
        self.would += would
        self.really += really
        self.all_would += all_would
        self.all_really += all_really

    def told(self, point_value: Decimal) -> dict[str, Any]:
        """For the job's result; costs are points times what a point is worth now."""
        return {
            "events": self.events,
            "would": self.would,
            "really": self.really,
            "all_would": self.all_would,
            "all_really": self.all_really,
            "cost_would": f"{self.would * point_value:.2f}",
            "cost_really": f"{self.really * point_value:.2f}",
            "cost_change": f"{(self.all_would - self.all_really) * point_value:.2f}",
        }


@dataclass
class Tally:
    """What came of it so far."""

    total: Sums = field(default_factory=Sums)
    by_month: dict[str, Sums] = field(default_factory=dict)
    by_tier: dict[str, Sums] = field(default_factory=dict)
    members: int = 0
    more: int = 0
    less: int = 0

    def count(self, changes: dict[int, int], rewarded: set[int]) -> None:
        """The members of one range: who gets points of the rule, and who more or less than they got in all."""
        self.members += len(rewarded)
        self.more += sum(change > 0 for change in changes.values())
        self.less += sum(change < 0 for change in changes.values())


def start(version: RuleVersion, months: int, user: User | None) -> Job:
    """Run a version over the last so many months (1 to 60). The result is described at :func:`run`."""
    if not 1 <= months <= MOST_MONTHS:
        raise ValueError(f"a backtest covers 1 to {MOST_MONTHS} months, not {months}")
    title = _("Backtest of %(rule)s, version %(version)d") % {"rule": version.rule.name, "version": version.version}
    return jobs.start(JOB, title=title, payload={"version": version.pk, "months": months}, user=user)


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
    last = Member.objects.aggregate(last=Max("pk"))["last"] or 0
    progress.update(0, total=last, step=_("reckoning the history anew"))
    for first in range(0, last + 1, CHUNK):
        with transaction.atomic(), connection.cursor() as cursor, progress.interruptible():
            try:
                history.reckon(cursor, first, first + CHUNK - 1)
            except TooManyPoints as error:
                raise jobs.Failed(reasons.too_many(error)) from error
        progress.update(min(first + CHUNK, last))
    return _result(job, version, history)


class _History:
    """The history as it would have been, range by range of members."""

    def __init__(self, draft: Terms, since: datetime, until: datetime) -> None:
        self.draft, self.since, self.until = draft, since, until
        self.kind = draft.definition.event
        self.period = Period(since, until)
        self.worth = settings_now().point_value
        self.tally = Tally()
        self._used: dict[CapKey, Used] = {}

    def reckon(self, cursor: CursorWrapper, first: int, last: int) -> None:
        """One range of members."""
        cursor.execute("DROP TABLE IF EXISTS pg_temp.loyalty_events")
        cursor.execute(_EVENTS[self.kind], [first, last, self.since, self.until])
        cursor.execute("ANALYZE loyalty_events")
        cursor.execute("SELECT member_id, min(at) FROM loyalty_events GROUP BY member_id")
        firsts = dict(cursor.fetchall())
        if not firsts:
            return
        look = tiers.Look(cursor, list(firsts), ladder=tiers.ladder(), now=self.until, since=firsts)
        statement = _PURCHASES if self.kind == PURCHASE else _BEHAVIOUR
        cursor.execute(statement, {"rule": self.draft.rule_id, "kind": self.kind})
        really = {event_id: (own, every) for event_id, own, every in cursor.fetchall()}
        changes: dict[int, int] = dict.fromkeys(firsts, 0)
        rewarded: set[int] = set()
        wanted = needs([self.draft, *self.period.terms]) | Need.TIER
        for batch in gathering.of_many(cursor, self.kind, wanted, look.before, named={}):
            for one in batch:
                would, every = self._count(one, *really.get(one.id, (0, 0)))
                changes[one.member_id] += every
                if would:
                    rewarded.add(one.member_id)
        self.tally.count(changes, rewarded)
        # Only the programme's caps go on to the next range.
        self._used = {key: use for key, use in self._used.items() if key[4] is None}

    def _count(self, one: gathering.Gathered, own: int, every: int) -> tuple[int, int]:
        """Reckon one event; returns what the rule would give, and how much more all rules would than they did."""
        terms = [other for other in self.period.at(one.event.occurred_at) if other.rule_id != self.draft.rule_id]
        reckoning = reckon(one.event, one.facts, [*terms, self.draft], self._used, point_value=self.worth)
        for award in reckoning.awards:
            for key, use in award.uses.items():
                self._used[key] = self._used.get(key, Used()).plus(use)
        would = sum(award.points for award in reckoning.awards if award.terms is self.draft)
        for sums in (
            self.tally.total,
            self.tally.by_month.setdefault(f"{one.event.local:%Y-%m}", Sums()),
            self.tally.by_tier.setdefault(one.facts.tier or "", Sums()),
        ):
            sums.add(would, own, reckoning.points, every)
        return would, reckoning.points - every


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
            "members": tally.members,
            "more": tally.more,
            "less": tally.less,
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

# What each event really gave: by the rule, and by all. What was taken back later (a refund) was given all the same.
_PURCHASES: Final = """
        SELECT entry.purchase_id, coalesce(sum(entry.points) FILTER (WHERE version.rule_id = %(rule)s), 0)::bigint,
               sum(entry.points)::bigint
          FROM loyalty_events event JOIN loyalty_entry entry ON entry.purchase_id = event.id
          LEFT JOIN loyalty_ruleversion version ON version.id = entry.rule_version_id
         WHERE entry.kind = 'earn'
           AND NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
         GROUP BY entry.purchase_id"""
_BEHAVIOUR: Final = """
        SELECT event.id, coalesce(sum(entry.points) FILTER (WHERE rule.id = %(rule)s), 0)::bigint,
               sum(entry.points)::bigint
          FROM loyalty_events event CROSS JOIN loyalty_earningrule rule
          JOIN loyalty_entry entry
            ON entry.idempotency_key = %(kind)s || ':' || event.id || ':rule:' || rule.id
         WHERE NOT EXISTS (SELECT FROM loyalty_entry reversal WHERE reversal.reverses_id = entry.id)
         GROUP BY event.id"""
