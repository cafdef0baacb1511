"""Trying rules out: one event by today's rules and with a draft beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from loyalty import words
from loyalty.models import Entry, RuleVersion, Tier
from loyalty.rules import gathering, reasons, simulation, subjects
from loyalty.rules.events import EVENT_KINDS, INTERACTION, PURCHASE, SURVEY, Event, EventKind
from loyalty.rules.results import Award, Reckoning, Refusal, Terms
from loyalty.rules.simulation import Deed
from loyalty.views.made_up import FORMS
from members import lookup
from members.conditions.facts import choices_kept
from members.models import Interaction, Member, Purchase, SurveyResponse
from staff import figures
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

State = RuleVersion.State
NEWEST_SHOWN = 20


@dataclass(frozen=True)
class Words:
    """What the page says of one kind of event."""

    tab: str | Promise
    made_up: str | Promise
    one_of: str | Promise
    has_none: str | Promise
    nothing: str | Promise
    no_rule: str | Promise
    rows: str | Promise = ""
    rows_note: str | Promise = ""


WORDS: Final[Mapping[EventKind, Words]] = {
    PURCHASE: Words(
        tab=gettext_lazy("Purchase"),
        made_up=gettext_lazy("Or a made-up purchase"),
        one_of=gettext_lazy("A purchase of %(name)s (%(number)s)"),
        has_none=gettext_lazy("This member has not bought yet."),
        nothing=gettext_lazy("Type an amount, or find a member and choose one of their purchases."),
        no_rule=gettext_lazy("No rule is about purchases"),
        rows=gettext_lazy("Lines"),
        rows_note=gettext_lazy("(optional; their amounts then make the purchase)"),
    ),
    INTERACTION: Words(
        tab=gettext_lazy("Interaction"),
        made_up=gettext_lazy("Or a made-up interaction"),
        one_of=gettext_lazy("An interaction of %(name)s (%(number)s)"),
        has_none=gettext_lazy("This member has no interaction yet."),
        nothing=gettext_lazy("Type a kind, or find a member and choose one of their interactions."),
        no_rule=gettext_lazy("No rule is about interactions"),
        rows=gettext_lazy("Properties"),
        rows_note=gettext_lazy("(optional; another member is named by the number)"),
    ),
    SURVEY: Words(
        tab=gettext_lazy("Survey answer"),
        made_up=gettext_lazy("Or a made-up survey answer"),
        one_of=gettext_lazy("A survey answer of %(name)s (%(number)s)"),
        has_none=gettext_lazy("This member has not answered a survey yet."),
        nothing=gettext_lazy("Name a survey, or find a member and choose one of their answers."),
        no_rule=gettext_lazy("No rule is about survey answers"),
    ),
}


@dataclass(frozen=True)
class Part:
    """What one rule gives one member: points and each step, or why it gives none."""

    points: int
    steps: list[str]


@dataclass(frozen=True)
class Cell:
    """What one rule gives in one column: ``own`` to the member, ``other`` to the one whom the interaction names."""

    own: Part
    other: Part | None = None


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
    kind = _kind(request.GET.get("event", ""), version)
    if version and subjects.event_of(version.definition) != kind:
        version = None
    may_find = request.user.may(Permission.MEMBERS_VIEW)
    text = request.GET.get("member", "").strip()[:100]
    member = _member(request, text) if text and may_find else None
    deed = _deed(kind, member, request.GET.get("real", ""))
    columns = _columns(kind, version)
    form = FORMS[kind](request.GET, [{"name": name} for name in _properties(columns)])
    context: dict[str, Any] = {
        "kind": kind,
        "words": WORDS[kind],
        "tabs": [(str(WORDS[one].tab), _address(one, text), one == kind) for one in EVENT_KINDS],
        "version": version,
        "version_choices": _version_choices(kind),
        "member": member,
        "member_text": text,
        "deed": deed,
        "one_of": WORDS[kind].one_of % {"name": member.display_name, "number": member.number} if member else "",
        "deed_choices": _deed_choices(kind, member) if member else [],
        "form": form,
        "kinds": subjects.choice_labels(_NAMES[kind]) if kind in _NAMES else {},
        "is_partial": request.htmx.target == "simulation",
        "may_find": may_find,
    }
    event = simulation.event_of(deed) if deed else form.event(member) if form.is_bound and form.is_valid() else None
    if event:
        with choices_kept():
            context["result"] = _result(event, member, columns, version, deed, may_find=may_find)
    elif form.is_bound and not form.is_valid():
        context["is_wrong"] = True
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


def _kind(asked: str, version: RuleVersion | None) -> EventKind:
    """The kind of event asked for; where none is, that of the version."""
    return subjects.event_of({"event": asked} if asked or version is None else version.definition)


def _address(kind: EventKind, member: str) -> str:
    return "?" + urlencode({"event": kind} | ({"member": member} if member else {}))


def _version(text: str) -> RuleVersion | None:
    if not text.isdecimal() or len(text) > 18:
        return None
    return RuleVersion.objects.filter(pk=int(text)).select_related("rule").first()


def _version_choices(kind: EventKind) -> list[tuple[int, str]]:
    open_versions = RuleVersion.objects.filter(state__in=[State.DRAFT, State.IN_REVIEW, State.APPROVED])
    pattern = _("%(rule)s, version %(version)d (%(state)s)")
    return [
        (one.pk, pattern % {"rule": one.rule.name, "version": one.version, "state": one.get_state_display()})
        for one in open_versions.select_related("rule").order_by("rule__name", "-version")[:200]
        if subjects.event_of(one.definition) == kind
    ]


def _columns(kind: EventKind, version: RuleVersion | None) -> dict[str, list[Terms]]:
    """The rules about this kind of event: today's, and the same with the version in its rule's place."""
    now = timezone.now()
    columns = {_("Today"): simulation.beside(None, now)}
    if version:
        columns[_("With version %(version)d") % {"version": version.version}] = simulation.beside(version, now)
    return {title: [one for one in terms if one.definition.event == kind] for title, terms in columns.items()}


def _properties(columns: Mapping[str, Sequence[Terms]]) -> list[str]:
    """The properties by which these rules name another member."""
    return sorted(gathering.naming(one for terms in columns.values() for one in terms))


def _member(request: DeskRequest, text: str) -> Member | None:
    found = lookup.find(text, limit=1, contacts=lookup.contacts_for(request.user))
    return found[0] if found else None


def _deeds(kind: EventKind, member: Member) -> QuerySet[Purchase] | QuerySet[Interaction] | QuerySet[SurveyResponse]:
    """What the member did of this kind, the newest first."""
    if kind == PURCHASE:
        return member.purchases.order_by("-purchased_at", "-pk")
    if kind == INTERACTION:
        return member.interactions.order_by("-occurred_at", "-pk")
    return member.survey_responses.filter(answered_at__isnull=False).order_by("-answered_at", "-pk")


def _deed(kind: EventKind, member: Member | None, text: str) -> Deed | None:
    if member is None or not text.isdecimal() or len(text) > 18:
        return None
    return _deeds(kind, member).filter(pk=int(text)).first()


def _deed_choices(kind: EventKind, member: Member) -> list[tuple[int, str]]:
    return [(deed.pk, " · ".join(filter(None, _told(deed)))) for deed in _deeds(kind, member)[:NEWEST_SHOWN]]


def _told(deed: Deed) -> tuple[str, ...]:
    if isinstance(deed, Purchase):
        return figures.moment(deed.purchased_at), figures.money(deed.value), deed.store or deed.channel
    if isinstance(deed, Interaction):
        return figures.moment(deed.occurred_at), deed.kind, deed.channel
    moment = figures.moment(deed.answered_at) if deed.answered_at else ""
    return moment, deed.survey, "" if deed.score is None else str(deed.score)


def _result(
    event: Event,
    member: Member | None,
    terms: Mapping[str, Sequence[Terms]],
    version: RuleVersion | None,
    deed: Deed | None,
    *,
    may_find: bool,
) -> dict[str, Any]:
    """What the event earns in each column."""
    numbers = gathering.numbers_named([one for column in terms.values() for one in column], [event.properties])
    named = simulation.members_named(numbers) if may_find else {}
    event = replace(event, named=named)
    tiers = {tier.key: tier for tier in Tier.objects.all()}
    reckonings = {title: simulation.simulate(event, member, column, deed) for title, column in terms.items()}
    cells = [_cells(reckoning, tiers) for reckoning in reckonings.values()]
    totals = [reckoning.points for reckoning in reckonings.values()]
    names = {one.rule_id: one.rule for column in terms.values() for one in column}
    others = [sum(award.points for award in one.awards if award.also) for one in reckonings.values()]
    return {
        "titles": list(reckonings),
        "totals": totals,
        "others": others if any(others) else [],
        "rows": [Row(names[rule], [column.get(rule) for column in cells]) for rule in _in_order(cells)],
        "conclusion": _conclusion(totals, version),
        "tone": "accent" if totals[-1] else "look",
        "about": _about(event, member),
        "notes": _notes(numbers, named, member, may_find=may_find),
    }


def _in_order(cells: Sequence[Mapping[int, Cell]]) -> list[int]:
    return list(dict.fromkeys(rule for column in cells for rule in column))


def _cells(reckoning: Reckoning, tiers: dict[str, Tier]) -> dict[int, Cell]:
    """What each rule gives, by the rule's id; what it gives a second member comes after its own."""
    cells: dict[int, Cell] = {}
    for award in reckoning.awards:
        _put(cells, award, Part(award.points, words.reckoning(award.explanation, award.points, tiers)))
    for refusal in reckoning.refusals:
        _put(cells, refusal, Part(0, reasons.why_not(refusal)))
    return cells


def _put(cells: dict[int, Cell], one: Award | Refusal, part: Part) -> None:
    rule = one.terms.rule_id
    cells[rule] = replace(cells[rule], other=part) if one.also else Cell(part)


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
    blanks = {
        "amount": figures.money(event.value, settings.PROGRAMME_CURRENCY),
        "what": event.interaction or event.survey,
        "score": event.score,
        "time": figures.when(event.occurred_at),
        "who": _who(event, member),
    }
    if event.kind == PURCHASE:
        said = _("%(amount)s by %(who)s, %(time)s. Limits count what is used of them by now.")
    elif event.kind == SURVEY and event.score is not None:
        said = _("“%(what)s” answered with %(score)s by %(who)s, %(time)s. Limits count what is used of them by now.")
    else:
        said = _("“%(what)s” by %(who)s, %(time)s. Limits count what is used of them by now.")
    return said % blanks


def _who(event: Event, member: Member | None) -> str:
    if member:
        return member.display_name
    return _("somebody on a first purchase") if event.kind == PURCHASE else _("somebody who has not bought yet")


def _notes(numbers: Sequence[str], named: Mapping[str, int], member: Member | None, *, may_find: bool) -> list[str]:
    """Who is meant by each number that names another member."""
    if not may_find:
        return [_("The other member is left out: you may not see members.")] if numbers else []
    others = Member.objects.in_bulk(set(named.values()))
    return [_note(number, others.get(named.get(number, 0)), member) for number in numbers]


def _note(number: str, other: Member | None, member: Member | None) -> str:
    if other is None:
        return _("Nobody has the number “%(number)s”: no other member gets points.") % {"number": number}
    if other == member:
        return _("“%(number)s” is the same member: no other member gets points.") % {"number": number}
    return _("The other member is %(name)s (%(number)s).") % {"name": other.display_name, "number": other.number}


_NAMES: Final[Mapping[EventKind, str]] = {INTERACTION: "interaction.kind", SURVEY: "survey.name"}
