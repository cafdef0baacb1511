"""What members themselves put on the timeline: purchases, survey answers, interactions."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.apps import apps
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from members import timeline
from members.models import Interaction, Member, Purchase, PurchaseLine, Refund, SurveyResponse
from members.timeline import Act, TimelineItem, Tone
from staff import figures
from staff.navigation import address
from staff.permissions import Permission

LONGEST_COMMENT = 300
LINES_SHOWN = 5


def purchases(member: Member, before: datetime, limit: int) -> Sequence[TimelineItem]:
    """What the member bought, and what of it was given back."""
    bought = (
        member.purchases.filter(purchased_at__lt=before)
        .prefetch_related("lines")
        .order_by("-purchased_at", "-pk")[:limit]
    )
    given_back = (
        member.refunds.filter(refunded_at__lt=before)
        .select_related("purchase")
        .prefetch_related("lines__line")
        .order_by("-refunded_at", "-pk")[:limit]
    )
    items = [*(_purchase(purchase) for purchase in bought), *(_refund(refund) for refund in given_back)]
    return sorted(items, key=lambda item: item.at, reverse=True)[:limit]


def _purchase(purchase: Purchase) -> TimelineItem:
    named = _("Order %(receipt)s") % {"receipt": purchase.external_id} if purchase.external_id else _("Purchase")
    parts = [named, figures.money(purchase.amount, purchase.currency)]
    if purchase.store:
        parts.append(_("store %(store)s") % {"store": purchase.store})
    details = [part for part in (purchase.category, purchase.channel) if part]
    if purchase.value != purchase.amount:
        details.append(
            _("%(value)s at the rate %(rate)s")
            % {"value": figures.money(purchase.value), "rate": f"{purchase.rate.normalize():f}"}
        )
    details += _listed([_line(line, line.quantity, line.amount, purchase.currency) for line in purchase.lines.all()])
    if purchase.refunded_value:
        whole = purchase.refunded_value == purchase.value
        given_back = {"value": figures.money(purchase.refunded_value)}
        details.append(_("given back in full") if whole else _("%(value)s of it given back") % given_back)
    return TimelineItem(
        at=purchase.purchased_at,
        kind="purchases",
        label=_("Purchase"),
        tone="good",
        title=" · ".join(parts),
        details=details,
        about=f"purchase:{purchase.pk}",
        acts=_questions(purchase),
    )


def _questions(purchase: Purchase) -> list[Act]:
    """What can be asked of a purchase; the room of points names it anew where it gave some."""
    url = address("loyalty:purchase-why", purchase.pk)
    return [Act(_("Why no points?"), url, Permission.MEMBERS_VIEW)] if url else []


def _refund(refund: Refund) -> TimelineItem:
    purchase = refund.purchase
    receipt = purchase.external_id if purchase else ""
    parts = [_("Refund of order %(receipt)s") % {"receipt": receipt} if receipt else _("Refund")]
    if refund.amount is not None:
        parts.append(figures.money(refund.amount, refund.currency))
    details = _listed([_line(part.line, part.quantity, part.amount, refund.currency) for part in refund.lines.all()])
    if refund.reason:
        details.append(refund.reason)
    if refund.state != Refund.State.APPLIED:
        details.append(str(refund.get_state_display()))
    return TimelineItem(
        at=refund.refunded_at,
        kind="purchases",
        label=_("Refund"),
        tone="bad",
        title=" · ".join(parts),
        details=details,
        about=f"refund:{refund.pk}",
    )


def _line(line: PurchaseLine, quantity: Decimal, amount: Decimal, currency: str) -> str:
    """ "2 × Oat milk ¥36.00"; without a quantity where only money went back."""
    paid = f"{line} {figures.money(amount, currency)}"
    return f"{quantity.normalize():f} × {paid}" if quantity and quantity != 1 else paid


def _listed(lines: list[str]) -> list[str]:
    """The first lines, and how many more there are."""
    if len(lines) <= LINES_SHOWN:
        return lines
    more = len(lines) - LINES_SHOWN
    return [*lines[:LINES_SHOWN], ngettext("%(more)d more line", "%(more)d more lines", more) % {"more": more}]


def household_moves(member: Member, before: datetime, limit: int) -> Sequence[TimelineItem]:
    """Into which household the member went, and out of it."""
    moves = apps.get_model("members", "HouseholdMove")._default_manager.filter(pgh_obj_id=member.pk)
    told: list[TimelineItem] = []
    left = ""
    for at, name in moves.order_by("pgh_id").values_list("pgh_created_at", "household__name"):
        title = _("Joined “%(household)s”") if name else _("Left “%(household)s”")
        names = {"household": name or left}
        told.append(TimelineItem(at=at, kind="household", label=_("Household"), tone="idle", title=title % names))
        left = name or ""
    return [item for item in reversed(told) if item.at < before][:limit]


def answers(member: Member, before: datetime, limit: int) -> Sequence[TimelineItem]:
    """What the member answered to surveys; answers of unknown day are not on a timeline."""
    found = member.survey_responses.filter(answered_at__lt=before).order_by("-answered_at", "-pk")[:limit]
    return [_answer(response, response.answered_at) for response in found if response.answered_at]


def _answer(response: SurveyResponse, at: datetime) -> TimelineItem:
    survey = response.survey.upper()
    title = survey if response.score is None else f"{survey} {response.score}"
    comment = response.comment.strip()
    if len(comment) > LONGEST_COMMENT:
        comment = f"{comment[:LONGEST_COMMENT].rstrip()}…"
    if comment:
        title = _("%(score)s: “%(comment)s”") % {"score": title, "comment": comment}
    return TimelineItem(at=at, kind="answers", label=_("Answer"), tone=_tone(response.score), title=title)


def _tone(score: int | None) -> Tone:
    """Promoters (9–10) and detractors (0–6), as the net promoter score counts them."""
    if score is None or 7 <= score <= 8:
        return "idle"
    return "good" if score >= 9 else "bad"


def interactions(member: Member, before: datetime, limit: int) -> Sequence[TimelineItem]:
    """What else the member did."""
    found = member.interactions.filter(occurred_at__lt=before).order_by("-occurred_at", "-pk")[:limit]
    return [_interaction(interaction) for interaction in found]


def _interaction(interaction: Interaction) -> TimelineItem:
    words = interaction.kind.replace("_", " ").replace("-", " ")
    details = [f"{name}: {value}" for name, value in interaction.properties.items() if value not in ("", None)]
    return TimelineItem(
        at=interaction.occurred_at,
        kind="interactions",
        label=_("Interaction"),
        tone="idle",
        title=" · ".join(filter(None, [words[:1].upper() + words[1:], interaction.channel])),
        details=details[:6],
    )


def register() -> None:
    """Put them on the timeline."""
    timeline.register("purchases", purchases, label=gettext_lazy("Purchases"), order=10)
    timeline.register("answers", answers, label=gettext_lazy("Answers"), order=40)
    timeline.register("interactions", interactions, label=gettext_lazy("Interactions"), order=50)
    timeline.register("household", household_moves, label=gettext_lazy("Household"), order=60)
