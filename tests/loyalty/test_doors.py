"""Any sequence of what tills, service and the nights do keeps what must always hold; sent again, it changes nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import time_machine
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loyalty import (
    adjustments,
    batches,
    joining,
    ledger,
    limits,
    programme,
    refund_undo,
    reversals,
    rewards,
    transfers,
    verify,
)
from loyalty.adjustments import Adjustment
from loyalty.intake import RefundLineInput, RefundRefused, record_interaction, record_purchase, record_refund
from loyalty.intake.lines import LineInput
from loyalty.ledger import expiry
from loyalty.models import (
    Account,
    CapUse,
    DayUse,
    Draw,
    Entry,
    Lot,
    Policy,
    ProgrammeSettings,
    Redemption,
    Reward,
    RuleVersion,
    TierStanding,
)
from loyalty.transfers import Transfer
from members import households
from members.models import Household, Interaction, Member, Purchase, Refund
from staff import approvals, jobs
from staff.models import Approval, Job
from tests.factories import make_member, make_user
from tests.loyalty.test_earning import PER_UNIT, SINCE_EVER, in_force

START = datetime(2026, 1, 10, 4, 0, tzinfo=UTC)
WHO = st.integers(0, 2)
# What the doors refuse. Anything else that they raise is a fault.
REFUSALS = (
    ledger.LedgerError,
    ledger.AlreadySpent,
    rewards.RedemptionError,
    RefundRefused,
    adjustments.AdjustmentError,
    transfers.TransferError,
    limits.DayLimitReached,
    households.HouseholdError,
    batches.EmptyBatch,
    refund_undo.UndoRefused,
    approvals.ApprovalError,
)


class Doors(RuleBasedStateMachine):
    """Three members, two of them a household, four rules, a scarce reward, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.clock = time_machine.travel(START, tick=False)
        self.traveller = self.clock.start()
        self.now = START
        self.done: list[Callable[[], object]] = []
        self.number = 0

    def teardown(self) -> None:
        """Send everything again, and forget it."""
        try:
            self.send_everything_again()
        finally:
            self.clock.stop()
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    @initialize()
    def begin(self) -> None:
        """The programme, its rules and its members."""
        programme.ensure_defaults()
        RuleVersion.objects.get().rule.versions.update(state="retired", retired_at=SINCE_EVER)
        in_force(
            "Base",
            PER_UNIT,
            caps=[{"per": "day", "of": "member", "points": 250}],
            pending={"days": 2},
            expiry={"type": "days", "n": 20},
        )
        self.batch = in_force(
            "Mistake", {"type": "per_amount", "points": "1", "per": "3"}, expiry={"type": "days", "n": 9}
        )
        in_force("Slow", {"type": "fixed", "points": 30}, expiry={"type": "idle_months", "n": 1})
        in_force(
            "Check-in",
            {"type": "fixed", "points": 10},
            event="interaction",
            when={"fact": "interaction.kind", "op": "in", "value": ["check-in"]},
            caps=[{"per": "week", "of": "member", "points": 20}],
        )
        self.members = [make_member() for _ in range(3)]
        self.agent, self.manager = make_user("customer_service"), make_user("marketing_manager", password=None)
        self.approver = make_user("approver", password=None)
        self.household = households.create(name="Wang", kind=Household.Kind.HOUSEHOLD, user=None)
        for member in self.members[:2]:
            households.join(self.household, member, user=None)
        for member in self.members:
            self.buy_for(member, [150], days=4)
        self.reward = Reward.objects.create(name="Coffee", points=120, stock=4)
        # So low that a second person is asked now and then.
        ProgrammeSettings.objects.update(
            adjust_approval_above=150, transfer_approval_above=100, household_approval_above=400
        )

    def act(self, door: Callable[..., object], *args: Any, **input_: Any) -> None:
        """Go through a door, and remember it: it may be sent again at any time."""
        if passes(lambda: door(*args, **input_)):
            self.done.append(lambda: door(*args, **input_))

    def act_twice(self, door: Callable[[], object]) -> None:
        """Go through a door that has no key: at once sent again, it changes nothing. Later it may mean something."""
        if passes(door):
            self.changes_nothing(door)

    def changes_nothing(self, door: Callable[[], object]) -> None:
        """Whatever it says."""
        before = state()
        passes(door)
        assert state() == before

    def key(self) -> str:
        """A new one."""
        self.number += 1
        return f"key {self.number}"

    @rule(
        who=WHO,
        prices=st.lists(st.integers(0, 200), min_size=1, max_size=3),
        days=st.integers(0, 12),
        charges=st.integers(0, 9),
        has_lines=st.booleans(),
        pays=st.booleans(),
    )
    def buy(self, *, who: int, prices: list[int], days: int, charges: int, has_lines: bool, pays: bool) -> None:
        """A purchase, perhaps told late, perhaps paid in part by what the member reserved."""
        member = self.members[who]
        open_ones = Redemption.objects.filter(member=member, state="reserved", purchase=None).order_by("pk")
        self.buy_for(
            member,
            prices,
            days=days,
            lines=[LineInput(amount=Decimal(price), quantity=Decimal(2)) for price in prices] if has_lines else [],
            charges=Decimal(charges) if has_lines else Decimal(0),
            redemptions=list(open_ones.values_list("pk", flat=True)) if pays else [],
        )

    def buy_for(self, member: Member, prices: list[int], *, days: int, **more: Any) -> None:
        """So many days ago, under the next key."""
        self.act(
            record_purchase,
            member_id=member.pk,
            key=f"purchase {Purchase.objects.count()}",
            purchased_at=self.now - timedelta(days=days),
            amount=sum(prices) + more.get("charges", Decimal(0)),
            **more,
        )

    @rule(number=st.integers(0, 9), part=st.integers(1, 4), days=st.integers(0, 3), line=st.integers(0, 3))
    def refund(self, number: int, part: int, days: int, line: int) -> None:
        """A part of a purchase, all that is left of it, or a line; perhaps before the purchase comes."""
        key = f"purchase {number % (Purchase.objects.count() + 1)}"
        purchase = Purchase.objects.filter(key=key).first()
        left = purchase.amount - purchase.refunded_value if purchase else Decimal(100)
        self.act(
            record_refund,
            key=self.key(),
            purchase_key=key,
            refunded_at=self.now - timedelta(days=days),
            amount=None if line or part == 1 else (left / part).quantize(Decimal("0.01")),
            lines=[RefundLineInput(line_no=line, quantity=Decimal(1))] if line else [],
        )

    @rule(who=WHO)
    def interact(self, who: int) -> None:
        """What keeps points alive and earns a few."""
        self.act(
            record_interaction, member_id=self.members[who].pk, key=self.key(), kind="check-in", occurred_at=self.now
        )

    @rule(who=WHO)
    def redeem(self, who: int) -> None:
        """Reserve the reward; a household pays together."""
        self.act(rewards.redeem, member_id=self.members[who].pk, reward_id=self.reward.pk, key=self.key(), user=None)

    @precondition(lambda self: Redemption.objects.exists())
    @rule(data=st.data(), step=st.sampled_from([rewards.confirm, rewards.fulfil, rewards.cancel, rewards.cancel]))
    def move_on(self, data: st.DataObject, step: Callable[..., object]) -> None:
        """Confirm, hand over or cancel one."""
        redemption = data.draw(st.sampled_from(list(Redemption.objects.order_by("pk"))))
        self.act(lambda: step(Redemption.objects.get(pk=redemption.pk), user=None))

    @precondition(lambda self: Approval.objects.filter(state=Approval.State.REQUESTED).exists())
    @rule(data=st.data(), agrees=st.sampled_from([True, True, False]))
    def decide(self, data: st.DataObject, agrees: bool) -> None:
        """A second person decides on what is above the limits."""
        waiting = Approval.objects.filter(state=Approval.State.REQUESTED).order_by("pk")
        asked = data.draw(st.sampled_from(list(waiting.values_list("pk", flat=True))))
        if agrees:
            self.act(lambda: approvals.approve(Approval.objects.get(pk=asked), user=self.approver))
        else:
            self.act(lambda: approvals.refuse(Approval.objects.get(pk=asked), user=self.approver, reason="No"))

    @precondition(lambda self: Refund.objects.exists())
    @rule(data=st.data())
    def undo_a_refund(self, data: st.DataObject) -> None:
        """Service takes a refund back, or asks for it."""
        refund = data.draw(st.sampled_from(list(Refund.objects.order_by("pk"))))
        self.act(lambda: refund_undo.undo(Refund.objects.get(pk=refund.pk), comment="", user=self.agent))

    @rule(who=WHO, points=st.integers(-300, 300).filter(bool), reason=st.sampled_from(["goodwill", "correction"]))
    def adjust(self, who: int, points: int, reason: str) -> None:
        """Service gives or takes."""
        wish = Adjustment(member_id=self.members[who].pk, points=points, reason=reason, comment="")
        self.act(adjustments.adjust, wish, key=self.key(), user=self.agent)

    @rule(who=WHO, to=st.integers(1, 2), points=st.integers(1, 200))
    def transfer(self, who: int, to: int, points: int) -> None:
        """Service moves points from one to another."""
        giver, receiver = self.members[who].pk, self.members[(who + to) % 3].pk
        # Now and then more than there is.
        there = ledger.available(giver, self.now) + 2
        wish = Transfer(from_member=giver, to_member=receiver, points=1 + points % there, comment="")
        self.act(transfers.send, wish, key=self.key(), user=self.agent)

    @precondition(lambda self: Entry.objects.filter(kind__in=reversals.KINDS).exists())
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        """Service takes an entry back: what a purchase earned, an adjustment, an expiry."""
        entry = data.draw(st.sampled_from(list(Entry.objects.filter(kind__in=reversals.KINDS).order_by("pk"))))
        # It has no key: an entry is taken back once, however late it is asked for again.
        self.act(reversals.reverse, entry, comment="", user=self.agent)

    @precondition(lambda self: Entry.objects.standing().filter(rule_version=self.batch).exists())
    @rule(days=st.integers(3, 30), policy=st.sampled_from(Policy))
    def undo_the_mistake(self, days: int, policy: Policy) -> None:
        """All that a rule gave in some days is taken back by a job, which somebody else approved."""
        batch = batches.Batch(version=self.batch.pk, since=self.now - timedelta(days=days), until=self.now)
        told, key = batches.preview(batch), self.key()
        self.act(batches.request, batch, policy=policy, comment="", key=key, user=self.manager)
        if not told.entries:
            return
        asked = Approval.objects.get(key=f"undo-batch:{key}")
        self.act(lambda: approvals.approve(Approval.objects.get(pk=asked.pk), user=self.approver))
        owed = sum(Account.objects.values_list("debt", flat=True))
        job = jobs.run(Job.objects.get(kind=batches.JOB, payload__approval=asked.pk).pk)
        assert job is not None
        if policy == Policy.REFUSE and told.spent_members:
            assert job.state == Job.State.FAILED
        else:
            assert job.state == Job.State.DONE, job.error
            assert job.result["entries_taken_back"] == told.entries
            if policy == Policy.DEBT:
                assert sum(Account.objects.values_list("debt", flat=True)) - owed <= told.debt
        # As if its worker had died before it could say so.
        Job.objects.filter(pk=job.pk).update(state=Job.State.QUEUED)
        self.changes_nothing(lambda: jobs.run(job.pk))

    @rule(policy=st.sampled_from(Policy))
    def change_the_policy(self, policy: Policy) -> None:
        """What happens to spent points from now on."""
        ProgrammeSettings.objects.update(clawback_policy=policy)

    @rule(who=WHO, joins=st.booleans())
    def move_house(self, who: int, joins: bool) -> None:
        """Somebody joins the household, or asks to, or leaves it."""
        move = joining.join if joins else joining.leave
        member = self.members[who].pk
        self.act_twice(lambda: move(self.household, Member.objects.get(pk=member), user=self.agent))

    @rule(days=st.integers(1, 15), night=st.booleans())
    def pass_time(self, days: int, night: bool) -> None:
        """Later; perhaps the nightly run comes by."""
        self.now += timedelta(days=days)
        self.traveller.move_to(self.now)
        if night:
            job = jobs.run(jobs.create(expiry.JOB, title="", payload={}, user=None).pk)
            assert job is not None
            assert job.state == Job.State.DONE, job.error
            assert not Lot.objects.filter(remaining__gt=0, expires_at__lte=self.now).exists()

    def send_everything_again(self) -> None:
        """The same requests with the same keys."""
        before = state()
        for again in self.done:
            passes(again)
        assert state() == before

    @invariant()
    def everything_holds(self) -> None:
        """The database's checks at commit, and every check of ``manage.py verify``."""
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}


def passes(door: Callable[[], object]) -> bool:
    """Go through a door; whether it let us."""
    try:
        with transaction.atomic():
            door()
    except REFUSALS:
        return False
    return True


def state() -> list[object]:
    """Everything that a repeated request might change."""
    return [
        list(Account.objects.order_by("pk").values_list("pk", "balance", "debt", "version")),
        list(Lot.objects.order_by("pk").values_list("pk", "remaining", "expires_at")),
        list(Member.objects.order_by("pk").values_list("pk", "household")),
        list(Redemption.objects.order_by("pk").values_list("pk", "state", "purchase")),
        list(Reward.objects.values_list("stock", flat=True)),
        list(Purchase.objects.order_by("pk").values_list("pk", "refunded_value")),
        list(Refund.objects.order_by("pk").values_list("pk", "state", "amount")),
        list(CapUse.objects.order_by("pk").values_list("pk", "points")),
        list(DayUse.objects.order_by("pk").values_list("pk", "points")),
        list(TierStanding.objects.order_by("pk").values_list("pk", "tier")),
        Draw.objects.count(),
        Interaction.objects.count(),
        Entry.objects.count(),
    ]


class TestDoors(Doors.TestCase, TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=6, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
