"""What the desk did on its last day: segments, rules, returns and what service put right, by the rooms' own writers.

So many things of each, however large the programme is. What needs a signature is left out where nobody of the desk
could give it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from config.seed import campaigns
from loyalty import adjustments, joining, refund_undo, reversals, rewards, rules, transfers
from loyalty.adjustments import Adjustment
from loyalty.intake import RefundLineInput, record_interaction, record_purchase, record_refund, release_points
from loyalty.intake.lines import LineInput
from loyalty.models import Account, EarningRule, Entry, Reward, RuleVersion, Tier
from loyalty.rules import backtest, review, starters
from loyalty.tiers import grants
from loyalty.transfers import Transfer
from members import households, segments
from members.models import Household, Member, Purchase, Refund, Segment, SegmentMember
from staff import approvals, jobs
from staff.models import Approval, User
from staff.permissions import Role

DAY = timedelta(days=1)
# Article number, name, brand, category and price (programme currency)
GOODS = (
    ("B-101", "Yunnan Pu’er beans, 250 g", "Red Earth", "beans", Decimal("68.00")),
    ("C-010", "Flat white", "", "coffee", Decimal("26.00")),
    ("E-300", "Pour-over kettle", "Brewline", "equipment", Decimal("239.00")),
    ("K-204", "Almond croissant", "", "bakery", Decimal("18.50")),
    ("G-512", "Cup, 350 ml", "Kiln & Co", "gifts", Decimal("79.00")),
)
WHY_RETURNED = ("The order was made twice", "The cup came broken", "The wrong beans", "Too late")


@dataclass(frozen=True, kw_only=True)
class People:
    """Those of the desk who sign; None where nobody has the role."""

    manager: User | None
    service: User | None
    approver: User | None

    @classmethod
    def found(cls) -> "People":
        """The first of each role."""

        def first(role: Role) -> User | None:
            return User.objects.filter(role=role, is_active=True).order_by("pk").first()

        return cls(
            manager=first(Role.MARKETING_MANAGER),
            service=first(Role.CUSTOMER_SERVICE),
            approver=first(Role.APPROVER),
        )


@transaction.atomic
def write(catalogue: Sequence[Reward]) -> None:
    """Do all of it; members, their purchases and points are there."""
    people = People.found()
    regulars, lapsing = _make_segments(people.manager)
    campaigns.write_draft(people.manager, lapsing)
    _make_rules(regulars, people)
    bought = Purchase.objects.filter(purchased_at__gte=timezone.now() - 45 * DAY).order_by("purchased_at", "key")
    recent = list(bought[:2_000])
    buyers = list(dict.fromkeys(purchase.member_id for purchase in recent))
    in_it = SegmentMember.objects.filter(segment=regulars).order_by("member_id").values_list("member_id", flat=True)
    _sell_by_line([*in_it[:6], *buyers[-6:]], people.service)
    _take_refunds(recent, people.service)
    _hear_reviews(buyers[:8])
    if people.service and people.manager and people.approver:
        _serve(catalogue, people.service, people.approver)
        _gather_household(people.service, people.approver)
        _grant_tier(people.manager)


def _make_segments(manager: User | None) -> tuple[Segment, Segment]:
    """Two by conditions, which are returned, and a list."""
    regulars = Segment(
        name="Regulars",
        kind=Segment.Kind.DYNAMIC,
        conditions={"all": [{"fact": "member.purchases", "days": 90, "op": "gte", "value": 4}]},
    )
    lapsing = Segment(
        name="Slipping away",
        kind=Segment.Kind.DYNAMIC,
        conditions={
            "all": [
                {"fact": "member.lifecycle", "op": "in", "value": ["lapsing"]},
                {"fact": "member.spend", "days": 365, "op": "gte", "value": "500"},
            ]
        },
    )
    for segment in (regulars, lapsing):
        if job := segments.save(segment, user=manager):
            jobs.run(job.pk)
    panel = Segment(name="Tasting panel", kind=Segment.Kind.STATIC)
    segments.save(panel, user=manager)
    segments.fill(panel, list(Member.objects.order_by("pk").values_list("pk", flat=True)[:100:4]))
    return regulars, lapsing


def _make_rules(regulars: Segment, people: People) -> None:
    """Two that earn from now on, one that waits for approval, and a draft that was tried out on the last month."""
    for_regulars: dict[str, Any] = {
        "event": "purchase",
        "when": {"all": [{"fact": "member.segment", "op": "in", "value": [str(regulars.pk)]}]},
        "effects": [{"type": "multiplier", "factor": "2"}],
    }
    more = {"qualifying": "none", "caps": [{"per": "month", "of": "member", "points": 500}]}
    for name, definition in (
        ("Double points for regulars", for_regulars | starters.COMMON | more),
        ("50 points for a review", starters.find("review").definition | {"pending": {"until": "released"}}),
    ):
        version = _draft(name, definition, people.manager)
        rules.submit(version, user=people.manager)
        rules.approve(version, user=people.approver)
        rules.activate(version, user=people.manager)
    member_day = _draft("Member day: double points", starters.find("member-day").definition, people.manager)
    jobs.run(backtest.start(member_day, 1, people.manager).pk)
    welcome = _draft("Double points on the first purchase", starters.find("first-purchase").definition, people.manager)
    if people.manager:
        review.submit(welcome, user=people.manager, comment="Agreed with the shops for next month.")


def _draft(name: str, definition: dict[str, Any], user: User | None) -> RuleVersion:
    return rules.draft(EarningRule.objects.create(name=name), definition=definition, user=user)


def _sell_by_line(members: Sequence[int], service: User | None) -> None:
    """Purchases with their lines; of every second one a line goes back."""
    for number, member_id in enumerate(members):
        picked = [(GOODS[(number + place) % len(GOODS)], 1 + (number + place) % 2) for place in range(1 + number % 3)]
        lines = [
            LineInput(
                sku=sku, product=product, brand=brand, category=category, quantity=Decimal(many), amount=price * many
            )
            for (sku, product, brand, category, price), many in picked
        ]
        receipt = f"T-{number:04d}"
        record_purchase(
            member_id=member_id,
            key=receipt,
            receipt=receipt,
            purchased_at=timezone.now(),
            amount=sum((line.amount for line in lines), Decimal(0)),
            channel="store",
            store="Xujiahui",
            category=lines[0].category,
            lines=lines,
        )
        if number % 2 == 0:
            record_refund(
                key=f"return:{receipt}",
                purchase_key=receipt,
                lines=[RefundLineInput(line_no=len(lines), quantity=Decimal(1))],
                reason=WHY_RETURNED[number % len(WHY_RETURNED)],
                user=service,
            )


def _take_refunds(recent: Sequence[Purchase], service: User | None) -> None:
    """Some whole, some in part, one for a purchase that the till has not told yet, and one undone."""
    older = [purchase for purchase in recent if purchase.purchased_at < timezone.now() - 4 * DAY]
    step = max(1, len(older) // 24)
    for number, purchase in enumerate(older[::step][:24]):
        record_refund(
            key=f"return:{purchase.key}",
            purchase_key=purchase.key,
            refunded_at=purchase.purchased_at + 3 * DAY,
            amount=None if number % 3 else (purchase.amount / 2).quantize(Decimal("0.01")),
            reason=WHY_RETURNED[number % len(WHY_RETURNED)],
            user=service,
        )
    record_refund(key="return:T-9999", purchase_key="T-9999", amount=Decimal(26), reason=WHY_RETURNED[0], user=service)
    undone = Refund.objects.filter(state=Refund.State.APPLIED).order_by("pk").first()
    if undone and service:
        refund_undo.undo(undone, comment="Taken for another receipt.", user=service)


def _hear_reviews(members: Sequence[int]) -> None:
    """Their points are held until somebody has read them; some were read."""
    for number, member_id in enumerate(members):
        told = record_interaction(
            member_id=member_id,
            key=f"review:{number}",
            kind="review",
            occurred_at=timezone.now(),
            channel="app",
            properties={"stars": 3 + number % 3, "product": GOODS[number % len(GOODS)][1]},
        )
        if number % 3 == 0:
            release_points(told.interaction, label="Review moderation")


def _serve(catalogue: Sequence[Reward], service: User, approver: User) -> None:
    """Points given, taken, reversed, moved, and asked for; rewards reserved and given back."""
    rich = Account.objects.filter(balance__gte=800, debt=0).order_by("pk").values_list("pk", flat=True)[:5]
    if len(rich) < 5:
        return
    one, two, three, four, five = rich

    def adjust(member_id: int, points: int, reason: str, comment: str, key: str) -> Entry | Approval:
        wish = Adjustment(member_id=member_id, points=points, reason=reason, comment=comment)
        return adjustments.adjust(wish, key=f"sample:{key}", user=service)

    adjust(one, 120, "goodwill", "Waited half an hour for a coffee.", "waited")
    adjust(two, -60, "correction", "Booked twice at the till.", "twice")
    mistaken = adjust(three, 300, "missing-points", "Receipt shown.", "mistaken")
    if isinstance(mistaken, Entry):
        reversals.reverse(mistaken, comment="It was another member’s receipt.", user=service)
    adjust(four, 1_500, "complaint", "The machine was delivered broken.", "above the limit")
    refused = adjust(five, 4_000, "other", "Asked for by the shop.", "refused")
    if isinstance(refused, Approval):
        approvals.refuse(refused, user=approver, reason="Not without a receipt.")
    sent = Transfer(from_member=one, to_member=two, points=250, comment="A present to her sister.")
    transfers.send(sent, key="sample:present", user=service)
    cheapest = catalogue[0].pk
    rewards.redeem(member_id=three, reward_id=cheapest, key="sample:reserved", user=service)
    unwanted = rewards.redeem(member_id=four, reward_id=cheapest, key="sample:unwanted", user=service)
    rewards.cancel(unwanted, user=service)


def _gather_household(service: User, approver: User) -> None:
    """Three of one name who spend together; a second person agrees where that brings many points into reach."""
    namesakes: dict[str, list[Member]] = {}
    for member in Member.objects.filter(status=Member.Status.ACTIVE).order_by("pk")[:200]:
        family = namesakes.setdefault(member.family_name, [])
        family.append(member)
        if len(family) == 3:
            break
    else:
        return
    household = households.create(
        name=f"{member.family_name} · {family[0].given_name}", kind=Household.Kind.HOUSEHOLD, user=service
    )
    for one in family:
        if asked := joining.join(household, one, user=service):
            approvals.approve(asked, user=approver)


def _grant_tier(manager: User) -> None:
    """Somebody gets a tier for a while without having earned it."""
    gold = Tier.objects.get(key="gold")
    member = Member.objects.exclude(standing__tier__rank__gte=gold.rank).order_by("pk").first()
    if member:
        until = timezone.now() + 90 * DAY
        grants.grant(member=member, tier=gold, until=until, reason="Guest of the opening day", user=manager)
