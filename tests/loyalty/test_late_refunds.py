"""Points that expired, came back and expired again: a late refund takes what is there and no more."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from loyalty import ledger, reversals, verify
from loyalty.ledger import Policy
from loyalty.models import Account, Entry, Lot, LotSource, ProgrammeSettings
from tests.factories import make_member

NOW = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)

ACTS = st.one_of(
    st.tuples(st.just("earn"), st.integers(1, 120), st.integers(1, 20)),
    st.tuples(st.just("spend"), st.integers(1, 150), st.sampled_from([Entry.Kind.REDEEM, Entry.Kind.ADJUST])),
    st.tuples(st.just("give back"), st.integers(0, 9), st.integers(1, 20)),
    st.tuples(st.just("return a part"), st.integers(0, 9), st.integers(1, 60)),
    st.tuples(st.just("refund a part"), st.integers(0, 9), st.integers(1, 60)),
    st.tuples(st.just("undo a refund"), st.integers(0, 9), st.none()),
    st.tuples(st.just("pass time"), st.integers(1, 15), st.none()),
)


class History:
    """One member's points, act by act, with a clock."""

    def __init__(self) -> None:
        self.member = make_member()
        self.now = NOW
        self.number = 0

    def do(self, act: str, first: int, second: int | str | None) -> None:
        """One act, where it is possible; where there is nothing to choose from, none."""
        self.number += 1
        try:
            with transaction.atomic(), time_machine.travel(self.now, tick=False):
                getattr(self, act.replace(" ", "_"))(first, second)
        except ledger.LedgerError:
            return

    def earn(self, points: int, days: int) -> None:
        """Points that expire."""
        ledger.award(
            member_id=self.member.pk,
            points=points,
            key=f"{self.number}",
            occurred_at=self.now,
            expires_at=self.now + days * DAY,
            explanation={},
        )

    def spend(self, points: int, kind: str) -> None:
        """A redemption, or an adjustment that takes."""
        ledger.spend(
            member_id=self.member.pk,
            points=points,
            key=f"{self.number}",
            occurred_at=self.now,
            explanation={},
            kind=kind,
        )

    def give_back(self, which: int, grace: int) -> None:
        """An expiry or a spend is reversed, with a grace."""
        taken = Entry.objects.filter(
            points__lt=0, reversed_by=None, kind__in=["expire", "redeem", "adjust"], parts=None
        )
        if entries := list(taken.order_by("pk")):
            ledger.reverse(
                entries[which % len(entries)],
                explanation={},
                occurred_at=self.now,
                grace_until=self.now + grace * DAY,
            )

    def return_a_part(self, which: int, points: int) -> None:
        """A part of a redemption is given back, with a grace."""
        if spends := list(Entry.objects.filter(kind="redeem").order_by("pk")):
            ledger.give_back(
                spends[which % len(spends)],
                points=points,
                key=f"{self.number}",
                occurred_at=self.now,
                explanation={},
                grace_until=self.now + 5 * DAY,
            )

    def refund_a_part(self, which: int, points: int) -> None:
        """A part of an award is taken back."""
        if awards := list(Entry.objects.filter(kind="earn").order_by("pk")):
            self.claw_back(awards[which % len(awards)], points)

    def undo_a_refund(self, which: int, _none: None) -> None:
        """Such a part is given back."""
        parts = list(Entry.objects.filter(kind="clawback", reversed_by=None).order_by("pk"))
        if parts:
            ledger.reverse(parts[which % len(parts)], explanation={}, occurred_at=self.now)

    def pass_time(self, days: int, _none: None) -> None:
        """Later, the nightly run takes out what expired."""
        self.now += days * DAY
        ledger.expire_due(self.now)

    def claw_back(self, award: Entry, points: int) -> None:
        """Take so much of an award back; what is missing becomes debt."""
        ledger.claw_back(
            award,
            points=points,
            qualifying=0,
            key=f"claw:{self.number}:{award.pk}",
            policy=Policy.DEBT,
            occurred_at=self.now,
            explanation={},
        )

    def refund_the_rest(self) -> None:
        """Everything that was bought is given back."""
        for award in Entry.objects.filter(kind="earn").order_by("pk"):
            parts = Entry.objects.filter(award=award, kind="clawback", reversed_by=None)
            asked = sum(part.explanation["asked"] for part in parts)
            self.claw_back(award, award.points - asked)

    def used(self) -> int:
        """What the member spent and did not get back."""
        spends = Entry.objects.filter(kind__in=["redeem", "adjust"], reversed_by=None)
        returns = Entry.objects.filter(kind="return")
        return -sum(entry.points for entry in spends) - sum(entry.points for entry in returns)

    def prove(self) -> Account:
        """Every invariant holds; the account."""
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        assert {check.key: rows for check in verify.checks() if (rows := check.offending())} == {}
        return Account.objects.filter(pk=self.member.pk).first() or Account()


class TestLateRefunds(TestCase):
    @given(acts=st.lists(ACTS, min_size=4, max_size=18))
    @settings(max_examples=25)
    def test_who_gives_everything_back_owes_just_what_they_used(self, acts: list[tuple[str, int, int]]) -> None:
        """Whatever expired, came back and expired again in between."""
        history = History()
        for act in acts:
            history.do(*act)
        history.number += 1
        history.refund_the_rest()
        account = history.prove()
        assert (account.debt, -account.balance) == (history.used(), history.used())


class TestPreviews(TestCase):
    @given(acts=st.lists(ACTS, min_size=2, max_size=14), which=st.integers(0, 20), policy=st.sampled_from(Policy))
    @settings(max_examples=25)
    def test_taking_an_entry_back_does_what_its_preview_said(
        self, acts: list[tuple[str, int, int]], which: int, policy: Policy
    ) -> None:
        """Whatever expired, was spent or taken back before, and whatever the policy."""
        history = History()
        for act in acts:
            history.do(*act)
        entries = list(Entry.objects.filter(kind__in=reversals.KINDS).order_by("pk"))
        if not entries:
            return
        ProgrammeSettings.objects.update_or_create(pk=1, defaults={"clawback_policy": policy})
        entry = entries[which % len(entries)]
        ledger.expire_due(history.now)
        before = history.prove()
        with time_machine.travel(history.now, tick=False):
            try:
                told = reversals.preview(entry)
            except ledger.LedgerError as refusal:
                with pytest.raises(type(refusal)), transaction.atomic():
                    reversals.reverse(entry, comment="", user=None, label="test")
                return
            assert history.prove() == before
            if not told.is_possible:
                with pytest.raises(ledger.InsufficientPoints), transaction.atomic():
                    reversals.reverse(entry, comment="", user=None, label="test")
                return
            reversal = reversals.reverse(entry, comment="", user=None, label="test")
        assert isinstance(reversal, Entry)
        after, does = history.prove(), told.does
        if entry.points < 0:
            assert before.debt - after.debt == does.pays_debt
            assert sum(Lot.objects.filter(entry=reversal).values_list("points", flat=True)) == does.in_grace
            assert after.balance - before.balance == -entry.points
            return
        let_go = does.missing if policy == Policy.TAKE else 0
        assert before.balance - after.balance == does.own + does.others + does.missing - let_go
        assert after.debt - before.debt == does.missing - let_go
        assert does.gone + does.own + does.others + does.missing == entry.points


@pytest.mark.django_db
def test_the_preview_counts_as_gone_what_expired_or_was_taken_back() -> None:
    history = History()
    history.do("earn", 100, 20)
    history.do("refund a part", 0, 30)
    history.do("spend", 20, "adjust")
    history.do("earn", 200, 90)
    history.now += 21 * DAY
    entry = Entry.objects.filter(kind="earn").earliest("pk")
    does = ledger.preview_reversal(entry, occurred_at=history.now)
    # The night that takes the other 50 out has not come by: they are gone all the same.
    assert (does.gone, does.own, does.others, does.missing) == (80, 0, 20, 0)


@pytest.mark.django_db
def test_a_late_refund_of_points_that_expired_twice_makes_no_debt() -> None:
    history = History()
    history.do("earn", 100, 5)
    history.do("pass time", 6, None)
    history.do("give back", 0, 5)
    assert ledger.available(history.member.pk, history.now) == 100
    assert LotSource.objects.get().award == Entry.objects.get(kind="earn")
    history.do("pass time", 6, None)
    history.refund_the_rest()
    assert (history.prove().balance, history.prove().debt) == (0, 0)
    assert Entry.objects.get(kind="clawback").explanation["expired"] == 100


@pytest.mark.django_db
@pytest.mark.parametrize("whole", ["an entry", "a batch"])
def test_taking_an_award_back_that_expired_twice_leaves_the_points_of_others_alone(whole: str) -> None:
    history = History()
    history.do("earn", 60, 5)
    history.do("earn", 40, 5)
    history.do("spend", 100, "adjust")
    history.do("pass time", 6, None)
    history.do("give back", 0, 5)
    assert sorted(LotSource.objects.values_list("points", flat=True)) == [40, 60]
    history.do("pass time", 6, None)
    award = Entry.objects.filter(kind="earn").earliest("pk")
    with time_machine.travel(history.now, tick=False):
        if whole == "an entry":
            ledger.reverse(award, explanation={})
        else:
            with connection.cursor() as cursor:
                cursor.execute(
                    "CREATE TEMPORARY TABLE batch ON COMMIT DROP AS SELECT %s::bigint AS entry_id", [award.pk]
                )
                assert ledger.preview_batch(cursor, "batch").debt == 0
                assert ledger.undo_batch(cursor, "batch", explanation={}) == 1
    account = history.prove()
    assert (account.balance, account.debt) == (0, 0)
    assert not Lot.objects.filter(remaining__gt=0).exists()
