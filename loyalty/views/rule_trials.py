"""Trying rules out: one purchase by today's rules and with a draft beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from loyalty import words
from loyalty.models import Entry, RuleVersion, Tier
from loyalty.rules import reasons, simulation
from loyalty.rules.events import PURCHASE, BasketLine, Event
from loyalty.rules.results import Award, Reckoning
from members import lookup
from members.conditions.facts import choices_kept
from members.models import Member, Purchase
from staff import figures
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

State = RuleVersion.State
LINES = 4
PURCHASES_SHOWN = 20
LARGEST = Decimal("99999999.99")
LOCAL = "%Y-%m-%dT%H:%M"


class LineForm(forms.Form):
    """One line of a made-up basket."""

    product = forms.CharField(label=gettext_lazy("Product"), max_length=200, required=False)
    category = forms.CharField(label=gettext_lazy("Category"), max_length=64, required=False)
    brand = forms.CharField(label=gettext_lazy("Brand"), max_length=64, required=False)
    quantity = forms.DecimalField(
        label=gettext_lazy("Quantity"), min_value=Decimal("0.001"), max_value=LARGEST, required=False
    )
    amount = forms.DecimalField(label=gettext_lazy("Amount"), min_value=Decimal(0), max_value=LARGEST, required=False)

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = str(field.label)


class BasketForm(forms.Form):
    """A made-up purchase."""

    amount = forms.DecimalField(
        label=gettext_lazy("Amount"), min_value=Decimal(0), max_value=LARGEST, decimal_places=2, required=False
    )
    at = forms.DateTimeField(
        label=gettext_lazy("Time"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL),
        input_formats=[LOCAL, "%Y-%m-%dT%H:%M:%S"],
    )
    channel = forms.CharField(label=gettext_lazy("Channel"), max_length=32, required=False)
    store = forms.CharField(label=gettext_lazy("Store"), max_length=64, required=False)

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.lines = [LineForm(*args, prefix=f"line{number}") for number in range(1, LINES + 1)]

    def is_valid(self) -> bool:
        """With all of its lines."""
        return all([super().is_valid(), *(line.is_valid() for line in self.lines)])

    def event(self, member: Member | None) -> Event | None:
        """The purchase; None where nothing was typed that is worth anything. Only after ``is_valid``."""
        told = self.cleaned_data
        lines = list(self._lines())
        amount = sum((line.value for line in lines), Decimal(0)) if lines else told["amount"]
        if amount is None:
            return None
        return Event(
            kind=PURCHASE,
            member_id=member.pk if member else None,
            occurred_at=told["at"] or timezone.now(),
            value=amount,
            channel=told["channel"],
            store=told["store"],
            lines=lines,
        )

    def _lines(self) -> Iterator[BasketLine]:
        for number, form in enumerate(self.lines, 1):
            told = form.cleaned_data
            if told["amount"] is not None:
                yield BasketLine(
                    line_no=number,
                    value=told["amount"],
                    quantity=told["quantity"] or Decimal(1),
                    product=told["product"],
                    category=told["category"],
                    brand=told["brand"],
                )


@dataclass(frozen=True)
class Cell:
    """What one rule gives in one column: points and each step, or why it gives none."""

    points: int
    steps: list[str]


@dataclass(frozen=True)
class Row:
    """A rule and what it gives in each column; None where it does not stand in the column."""

    name: str
    cells: list[Cell | None]


@requires(Permission.PROGRAMME_VIEW)
@require_safe
@never_cache
def simulate(request: DeskRequest) -> HttpResponse:
    """The page; for htmx, what came of it alone. All of it stands in the address."""
    version = _version(request.GET.get("version", ""))
    text = request.GET.get("member", "").strip()[:100]
    member = _member(request, text) if text and request.user.may(Permission.MEMBERS_VIEW) else None
    purchase = _purchase(request, member)
    form = BasketForm(request.GET if "amount" in request.GET else None, initial={"at": timezone.now()})
    context: dict[str, Any] = {
        "version": version,
        "version_choices": _version_choices(),
        "member": member,
        "member_text": text,
        "purchase": purchase,
        "purchase_choices": _purchase_choices(member) if member else [],
        "form": form,
        "is_partial": request.htmx.target == "simulation",
        "may_find": request.user.may(Permission.MEMBERS_VIEW),
    }
    event = (
        simulation.event_of(purchase) if purchase else form.event(member) if form.is_bound and form.is_valid() else None
    )
    if event:
        with choices_kept():
            context["result"] = _result(event, member, version, purchase)
    elif form.is_bound and not form.is_valid():
        context["problem"] = _("Something in the made-up purchase is not a number; it stands beside its field.")
    template = "loyalty/rules/_simulation.html" if context["is_partial"] else "loyalty/rules/simulate.html"
    return render(request, template, context)


@requires(Permission.MEMBERS_VIEW)
@require_safe
@never_cache
def purchase_why(request: DeskRequest, pk: int) -> HttpResponse:
    """A dialog: what a purchase earned, step by step, and why each other rule gave nothing."""
    purchase = get_object_or_404(Purchase.objects.select_related("member").prefetch_related("lines"), pk=pk)
    tiers = {tier.key: tier for tier in Tier.objects.all()}
    entries = list(purchase.entries.filter(kind=Entry.Kind.EARN).order_by("seq"))
    earned = [
        {"rule": entry.explanation.get("rule", ""), "points": entry.points, "steps": words.details(entry, tiers)}
        for entry in entries
    ]
    gave = {entry.explanation.get("rule_id") for entry in entries}
    with choices_kept():
        refused = [
            {"rule": refusal.terms.rule, "reasons": reasons.why_not(refusal)}
            for refusal in simulation.explain(purchase).refusals
            if refusal.terms.rule_id not in gave
        ]
    context = {
        "purchase": purchase,
        "name": purchase.external_id or _("this purchase"),
        "points": sum(entry.points for entry in entries),
        "earned": earned,
        "refused": refused,
    }
    return render(request, "loyalty/_purchase_why.html", context)


def _version(text: str) -> RuleVersion | None:
    if not text.isdecimal() or len(text) > 18:
        return None
    return RuleVersion.objects.filter(pk=int(text)).select_related("rule").first()


def _version_choices() -> list[tuple[int, str]]:
    open_versions = RuleVersion.objects.filter(state__in=[State.DRAFT, State.IN_REVIEW, State.APPROVED])
    pattern = _("%(rule)s, version %(version)d (%(state)s)")
    return [
        (one.pk, pattern % {"rule": one.rule.name, "version": one.version, "state": one.get_state_display()})
        for one in open_versions.select_related("rule").order_by("rule__name", "-version")[:200]
        if one.definition.get("event") == PURCHASE
    ]


def _member(request: DeskRequest, text: str) -> Member | None:
    found = lookup.find(text, limit=1, contacts=lookup.contacts_for(request.user))
    return found[0] if found else None


def _purchase(request: DeskRequest, member: Member | None) -> Purchase | None:
    text = request.GET.get("purchase", "")
    if member is None or not text.isdecimal() or len(text) > 18:
        return None
    return Purchase.objects.filter(pk=int(text), member=member).prefetch_related("lines").first()


def _purchase_choices(member: Member) -> list[tuple[int, str]]:
    newest = member.purchases.order_by("-purchased_at", "-pk")[:PURCHASES_SHOWN]
    return [
        (
            one.pk,
            " · ".join(
                filter(None, [figures.moment(one.purchased_at), figures.money(one.value), one.store or one.channel])
            ),
        )
        for one in newest
    ]


def _result(
    event: Event, member: Member | None, version: RuleVersion | None, purchase: Purchase | None
) -> dict[str, Any]:
    """The columns: today's rules, and the same with the version in its rule's place."""
    tiers = {tier.key: tier for tier in Tier.objects.all()}
    now = timezone.now()
    columns = [(_("Today"), simulation.simulate(event, member, simulation.beside(None, now), purchase))]
    if version:
        title = _("With version %(version)d") % {"version": version.version}
        columns.append((title, simulation.simulate(event, member, simulation.beside(version, now), purchase)))
    cells = [_cells(reckoning, tiers) for _title, reckoning in columns]
    totals = [reckoning.points for _title, reckoning in columns]
    return {
        "titles": [title for title, _reckoning in columns],
        "totals": totals,
        "rows": [
            Row(name, [column.get(name) for column in cells]) for name in dict.fromkeys(n for c in cells for n in c)
        ],
        "conclusion": _conclusion(totals, version),
        "tone": "accent" if totals[-1] else "look",
        "about": _about(event, member),
    }


def _cells(reckoning: Reckoning, tiers: dict[str, Tier]) -> dict[str, Cell]:
    cells = {award.terms.rule: Cell(award.points, _steps(award, tiers)) for award in reckoning.awards}
    for refusal in reckoning.refusals:
        cells[refusal.terms.rule] = Cell(0, reasons.why_not(refusal))
    return cells


def _steps(award: Award, tiers: dict[str, Tier]) -> list[str]:
    return words.reckoning(award.explanation, award.points, tiers)


def _conclusion(totals: Sequence[int], version: RuleVersion | None) -> str:
    if len(totals) == 1 or version is None:
        return _("It earns %(points)s points.") % {"points": figures.number(totals[0])}
    blanks = {
        "today": figures.number(totals[0]),
        "then": figures.number(totals[1]),
        "rule": version.rule.name,
        "more": figures.number(abs(totals[1] - totals[0])),
    }
    if totals[1] > totals[0]:
        return _("%(then)s points with “%(rule)s”, %(more)s more than the %(today)s of today.") % blanks
    if totals[1] < totals[0]:
        return _("%(then)s points with “%(rule)s”, %(more)s less than the %(today)s of today.") % blanks
    return _("%(then)s points with and without “%(rule)s”.") % blanks


def _about(event: Event, member: Member | None) -> str:
    who = member.display_name if member else _("somebody on a first purchase")
    blanks = {
        "amount": figures.money(event.value, settings.PROGRAMME_CURRENCY),
        "time": figures.when(event.occurred_at),
        "who": who,
    }
    return _("%(amount)s by %(who)s, %(time)s. Limits count what is used of them by now.") % blanks
