"""What this room shows and does on a member's page, fetched by it with ``hx-get``."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from loyalty import expiring, ledger, pools, rewards, tier_words, tiers, words
from loyalty.models import Lot, Reward, Tier
from loyalty.views import dialogs
from members.models import Household, Member
from staff import figures
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

SOON = timedelta(days=60)
MONTHS_SHOWN = 5
LOTS_SHOWN = 50
LONGEST_KEY = 128 - len("desk:")


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def badge(request: DeskRequest, number: str) -> HttpResponse:
    """The tier, beside the name."""
    member = get_object_or_404(Member, number=number)
    if not Tier.objects.exists():
        return HttpResponse()
    tier = tiers.progress(member.pk, timezone.now()).tier
    return render(request, "loyalty/_member_badge.html", {"name": words.tier_name(tier), "rank": tier.rank})


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def summary(request: DeskRequest, number: str) -> HttpResponse:
    """Points and tier, as two cells of the strip of figures."""
    member = get_object_or_404(Member, number=number)
    now = timezone.now()
    has = ledger.balances_of(member.pk, now)
    context: dict[str, Any] = {
        "has": has,
        "pending": has.pending + has.held,
        "expiring": expiring.of_member(member.pk, now),
        "expiring_days": expiring.WARN_DAYS,
    }
    if Tier.objects.exists():
        progress = tiers.progress(member.pk, now)
        context |= {
            "progress": progress,
            "tier_name": words.tier_name(progress.tier),
            "next_name": words.tier_name(progress.next_tier) if progress.next_tier else "",
            "missing": tier_words.missing(progress.parts, progress.scheme),
        }
    return render(request, "loyalty/_member_summary.html", context)


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def lots(request: DeskRequest, number: str) -> HttpResponse:
    """What is left, by the month in which it expires."""
    member = get_object_or_404(Member, number=number)
    now = timezone.now()
    zone = timezone.get_default_timezone()
    open_lots = Lot.objects.filter(member=member, remaining__gt=0).exclude(expires_at__lte=now)
    months: dict[date | None, list[Lot]] = {}
    starts: dict[date | None, int] = {}
    for lot in open_lots.order_by(F("expires_at").asc(nulls_last=True), "id"):
        if lot.activates_at and lot.activates_at <= now:
            month = lot.expires_at.astimezone(zone).date().replace(day=1) if lot.expires_at else None
            months.setdefault(month, []).append(lot)
        else:
            start = lot.activates_at.astimezone(zone).date() if lot.activates_at else None
            starts[start] = starts.get(start, 0) + lot.remaining
    rows = [(month, sum(lot.remaining for lot in some), _soon(some[0], now)) for month, some in months.items()]
    later = sum(points for _month, points, _soon_ in rows[MONTHS_SHOWN:])
    waiting = sorted(starts.items(), key=lambda start: start[0] or date.min)
    context = {
        "member": member,
        "may_release": request.user.may(Permission.POINTS_ADJUST),
        "rows": rows[:MONTHS_SHOWN],
        "later": later,
        "waiting": waiting[:MONTHS_SHOWN],
        "waiting_later": sum(points for _start, points in waiting[MONTHS_SHOWN:]),
        "count": sum(len(some) for some in months.values()),
        "debt": ledger.debt_of(member.pk),
    }
    return render(request, "loyalty/_member_lots.html", context)


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def pool(request: DeskRequest, number: str) -> HttpResponse:
    """What the member's household can spend together; nothing for who is in none."""
    member = get_object_or_404(Member.objects.select_related("household"), number=number)
    if member.household is None:
        return HttpResponse()
    return render(request, "loyalty/_pool.html", _pool(member.household) | {"is_own_page": False})


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def household_pool(request: DeskRequest, pk: int) -> HttpResponse:
    """The same on the household's own page."""
    household = get_object_or_404(Household, pk=pk)
    return render(request, "loyalty/_pool.html", _pool(household) | {"is_own_page": True})


def _pool(household: Household) -> dict[str, Any]:
    """Each member of a household with what they can spend; who is not active brings nothing."""
    members = list(household.members.order_by("family_name", "given_name", "pk"))
    active = [member.pk for member in members if member.status == Member.Status.ACTIVE]
    usable = ledger.available_to(active, timezone.now())
    rows = [(member, usable.get(member.pk, 0), member.pk in active) for member in members]
    return {"household": household, "rows": rows, "total": sum(usable.values())}


def _soon(lot: Lot, now: datetime) -> int | None:
    """In how many days the first points of a month expire, where that is soon."""
    if lot.expires_at is None or lot.expires_at - now > SOON:
        return None
    zone = timezone.get_default_timezone()
    return (lot.expires_at.astimezone(zone).date() - now.astimezone(zone).date()).days


@requires(Permission.POINTS_REDEEM)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def redeem(request: DeskRequest, number: str) -> HttpResponse:
    """The dialog to choose a reward; posted, it redeems and tells the page that points have moved."""
    member = get_object_or_404(Member, number=number)
    if request.method != "POST":
        return render(request, "loyalty/_member_redeem.html", _dialog(request, member, key=uuid4().hex))
    key, chosen = request.POST.get("key", ""), request.POST.get("reward", "")
    try:
        if not 0 < len(key) <= LONGEST_KEY or not chosen.isdecimal() or len(chosen) > 18:
            return _refused(request, member, _("Choose a reward."))
        redemption = rewards.redeem(
            member_id=member.pk,
            reward_id=int(chosen),
            key=f"desk:{key}",
            user=request.user,
            price=_price_shown(request, chosen),
            lots=[int(pk) for pk in request.POST.getlist("lot") if pk.isdecimal() and len(pk) < 19],
        )
        rewards.confirm(redemption, user=request.user)
    except Reward.DoesNotExist:
        return _refused(request, member, _("This reward is not there any more."))
    except (rewards.RedemptionError, ledger.InsufficientPoints, ledger.KeyReused) as refusal:
        return _refused(request, member, _why(refusal))
    done = _("%(reward)s redeemed for %(points)s points.") % {
        "reward": words.reward_name(redemption.reward),
        "points": figures.number(redemption.points),
    }
    return dialogs.done(done)


def _price_shown(request: DeskRequest, chosen: str) -> int | None:
    price = request.POST.get(f"price-{chosen}", "")
    return int(price) if price.isdecimal() and len(price) < 19 else None


def _refused(request: DeskRequest, member: Member, error: str) -> HttpResponse:
    """The dialog again, with the reason. A new key: what was refused wrote nothing."""
    context = _dialog(request, member, key=uuid4().hex) | {"error": error}
    return render(request, "loyalty/_member_redeem.html", context)


def _why(refusal: Exception) -> str:
    reasons = {
        rewards.OutOfStock: _("Nothing is left of this reward."),
        rewards.NotOffered: _("This reward is not offered any more."),
        rewards.PriceChanged: _("The price of this reward has just changed. Look at it again."),
        rewards.NotEligible: _("This member is blocked or has left."),
        rewards.LotRefused: _("Points that were chosen cannot be spent any more. Choose again."),
        ledger.KeyReused: _("This was redeemed already. Look at the timeline."),
    }
    return dialogs.why(refusal, reasons)


def _dialog(request: DeskRequest, member: Member, *, key: str) -> dict[str, Any]:
    payers = pools.payers(member.pk)
    usable = pools.available(payers, timezone.now())
    offered = Reward.objects.filter(active=True).order_by("points", "name")
    choices = []
    for reward in offered:
        why_not = ""
        if reward.stock == 0:
            why_not = _("out of stock")
        elif reward.points > usable:
            why_not = _("%(points)s points short") % {"points": figures.number(reward.points - usable)}
        choices.append((reward, words.reward_name(reward), usable - reward.points, why_not))
    choices.sort(key=lambda choice: bool(choice[3]))
    own = ledger.usable_lots([member.pk], timezone.now()).select_related("entry")[:LOTS_SHOWN]
    return {
        "member": member,
        "usable": usable,
        "choices": choices,
        "chosen": request.POST.get("reward", ""),
        "key": key,
        "is_pooled": len(payers) > 1,
        "lots": [(lot, words.title(lot.entry), str(lot.pk) in request.POST.getlist("lot")) for lot in own],
    }
