"""Any sequence of acts keeps what must always hold; repeating their keys changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loyalty import ledger, programme, rewards, verify
from loyalty.models import Account, Draw, Entry, Lot, Redemption, Reward
from tests.factories import make_member

START = datetime(2026, 1, 1, tzinfo=UTC)
POINTS = st.integers(1, 300)
WHO = st.integers(0, 1)
POLICY = st.sampled_from(ledger.Policy.values)


class Ledger(RuleBasedStateMachine):
    """Two members, one scarce reward, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.now = START
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.number = 0

    def teardown(self) -> None:
        """Forget everything."""
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize()
    def begin(self) -> None:
        """The programme and its members."""
        programme.ensure_defaults()
        self.members = [make_member(), make_member()]
        self.reward = Reward.objects.create(name="Coffee", points=120, stock=3)

    def act(self, name: str, **input_: Any) -> None:
        """Do something at the present moment, and remember it."""
        self.number += 1
        input_ = {"key": f"key {self.number}"} | input_
        with time_machine.travel(self.now, tick=False):
            try:
                with transaction.atomic():
                    self.perform(name, **input_)
            except (ledger.LedgerError, rewards.RedemptionError):
                return
        self.done.append((name, input_))

    def perform(self, name: str, *, key: str, **input_: Any) -> None:
        """One act under its key."""
        if name == "award":
            ledger.award(key=key, explanation={}, **input_)
        elif name == "spend":
            ledger.spend(key=key, explanation={}, **input_)
        elif name == "reverse":
            entry = Entry.objects.get(pk=input_.pop("entry"))
            ledger.reverse(entry, key=key, explanation={}, occurred_at=self.now, **input_)
        elif name == "claw_back":
            ledger.claw_back(Entry.objects.get(pk=input_.pop("entry")), key=key, explanation={}, **input_)
        elif name == "transfer":
            ledger.transfer(key=key, explanation={}, **input_)
        elif name == "redeem":
            rewards.redeem(member_id=input_["member_id"], reward_id=self.reward.pk, key=key, user=None)
        elif name == "cancel":
            rewards.cancel(Redemption.objects.get(pk=input_["redemption"]), user=None)

    @rule(
        who=WHO,
        points=POINTS,
        expires=st.none() | st.integers(1, 60),
        activates=st.none() | st.integers(0, 20),
        age=st.integers(0, 30),
        qualifying=st.none() | st.integers(0, 300),
    )
    def award(
        self, *, who: int, points: int, expires: int | None, activates: int | None, age: int, qualifying: int | None
    ) -> None:
        """Give points, perhaps late, held, pending or already expired."""
        at = self.now - timedelta(days=age)
        self.act(
            "award",
            member_id=self.members[who].pk,
            points=points,
            occurred_at=at,
            qualifying=qualifying,
            held=activates is None,
            activates_at=at + timedelta(days=activates or 0),
            expires_at=None if expires is None else at + timedelta(days=(activates or 0) + expires),
        )

    @rule(who=WHO, points=POINTS, months=st.integers(1, 3))
    def award_sliding(self, who: int, points: int, months: int) -> None:
        """Give points that lapse in idleness."""
        self.act("award", member_id=self.members[who].pk, points=points, occurred_at=self.now, idle_months=months)

    @rule(who=WHO)
    def be_active(self, who: int) -> None:
        """What is held is released, and sliding points live on."""
        member = self.members[who]
        ledger.release(list(Entry.objects.filter(member=member).values_list("pk", flat=True)), at=self.now)
        ledger.prolong([member.pk], self.now)

    @rule(who=WHO, points=POINTS)
    def transfer(self, who: int, points: int) -> None:
        """Give points to the other."""
        giver, receiver = self.members[who].pk, self.members[1 - who].pk
        self.act("transfer", from_member=giver, to_member=receiver, points=points, occurred_at=self.now)

    @rule(who=WHO, points=POINTS)
    def spend(self, who: int, points: int) -> None:
        """Take points."""
        self.act("spend", member_id=self.members[who].pk, points=points, occurred_at=self.now)

    @rule(who=WHO)
    def redeem(self, who: int) -> None:
        """Reserve the reward."""
        self.act("redeem", member_id=self.members[who].pk)

    @precondition(lambda self: Redemption.objects.exists())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Give a redemption back."""
        ids = list(Redemption.objects.order_by("pk").values_list("pk", flat=True))
        self.act("cancel", redemption=data.draw(st.sampled_from(ids)))

    @precondition(lambda self: Entry.objects.filter(redemption=None).exists())
    @rule(data=st.data(), policy=POLICY, grace=st.none() | st.integers(1, 30))
    def reverse(self, data: st.DataObject, policy: str, grace: int | None) -> None:
        """Take an entry back, expiries and clawbacks too."""
        ids = list(Entry.objects.filter(redemption=None).order_by("pk").values_list("pk", flat=True))
        self.act(
            "reverse",
            entry=data.draw(st.sampled_from(ids)),
            policy=policy,
            grace_until=self.now + timedelta(days=grace) if grace else None,
        )

    @precondition(lambda self: Entry.objects.filter(kind="earn").exists())
    @rule(data=st.data(), policy=POLICY, part=st.integers(1, 4), of=st.integers(1, 4), late=st.integers(0, 9))
    def claw_back(self, *, data: st.DataObject, policy: str, part: int, of: int, late: int) -> None:
        """Take a part of an award back, perhaps more than there is."""
        award = data.draw(st.sampled_from(list(Entry.objects.filter(kind="earn").order_by("pk"))))
        self.act(
            "claw_back",
            entry=award.pk,
            points=award.points * part // of,
            qualifying=award.qualifying * part // of,
            policy=policy,
            occurred_at=self.now - timedelta(days=late),
        )

    @rule(data=st.data(), policy=POLICY)
    def undo_awards(self, data: st.DataObject, policy: str) -> None:
        """Take some awards back as a batch: all of them or none."""
        ids = list(Entry.objects.filter(kind="earn").order_by("pk").values_list("pk", flat=True))
        chosen = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS batch")
            cursor.execute(
                "CREATE TEMPORARY TABLE batch ON COMMIT DROP AS SELECT unnest(%s::bigint[]) AS entry_id", [chosen]
            )
            standing = Entry.objects.standing().filter(pk__in=chosen).count()
            before = state()
            try:
                with transaction.atomic(), time_machine.travel(self.now, tick=False):
                    assert ledger.undo_batch(cursor, "batch", explanation={}, policy=policy) == standing
            except ledger.AlreadySpent:
                assert state() == before

    @rule(days=st.integers(1, 40))
    def pass_time(self, days: int) -> None:
        """Later, the nightly run takes out what expired."""
        self.now += timedelta(days=days)
        ledger.expire_due(self.now)

    @rule()
    def repeat_everything(self) -> None:
        """The same requests come again."""
        before = state()
        with time_machine.travel(self.now, tick=False):
            for name, input_ in self.done:
                self.perform(name, **input_)
        assert state() == before

    @invariant()
    def everything_holds(self) -> None:
        """The database's checks at commit, and every check of ``manage.py verify``."""
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}


def state() -> list[object]:
    """Everything that a repeated request might change."""
    return [
        list(Account.objects.order_by("pk").values_list("pk", "balance", "debt", "version")),
        list(Lot.objects.order_by("pk").values_list("pk", "remaining")),
        Draw.objects.count(),
        list(Redemption.objects.order_by("pk").values_list("pk", "state")),
        list(Reward.objects.values_list("stock", flat=True)),
    ]


class TestInvariants(Ledger.TestCase, TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=15, stateful_step_count=22, deadline=None, suppress_health_check=list(HealthCheck))
