"""Earning rules: the list, one rule with its versions, and the steps from draft to retired."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from loyalty import rules
from loyalty.models import EarningRule, Entry, RuleVersion
from loyalty.rules import differences, review, sentences
from loyalty.rules.events import INTERACTION, PURCHASE, SURVEY
from loyalty.views import rule_steps
from members.conditions.facts import choices_kept
from staff import approvals
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

State = RuleVersion.State
RECENT = timedelta(days=30)
LONGEST_REASON = 500
# Which version of a rule speaks for it: the one in force, else the one that is nearest to it.
ORDER = (State.ACTIVE, State.APPROVED, State.IN_REVIEW, State.DRAFT, State.RETIRED)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A rule in the list."""

    rule: EarningRule
    version: RuleVersion
    sentence: str
    states: list[rule_steps.StateView]
    points: int


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def rule_list(request: DeskRequest) -> HttpResponse:
    """All rules; filters are in the address."""
    now = timezone.now()
    by_rule = _by_rule(RuleVersion.objects.select_related("rule").order_by("rule__name", "-version"))
    given = _points_given(now)
    with choices_kept():
        rows = [_row(versions, given, now) for versions in by_rule if _is_wanted(request, versions)]
    everything = [version for versions in by_rule for version in versions]
    context = {
        "rows": sorted(rows, key=lambda row: ORDER.index(State(row.version.state))),
        "has_rules": bool(everything),
        "any_active": any(version.state == State.ACTIVE for version in everything),
        "waiting": sum(version.state == State.IN_REVIEW for version in everything),
        "states": [("", _("Every state")), *State.choices],
        "events": [
            ("", _("Everything")),
            (PURCHASE, _("Purchases")),
            (SURVEY, _("Survey answers")),
            (INTERACTION, _("Other things members do")),
        ],
        "is_filtered": any(request.GET.get(name) for name in ("q", "state", "event")),
        "may_edit": request.user.may(Permission.PROGRAMME_EDIT),
        "may_approve": request.user.may(Permission.APPROVALS_DECIDE),
    }
    return render(request, "loyalty/rules/list.html", context)


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def rule(request: DeskRequest, pk: int) -> HttpResponse:
    """One rule: what it says, its versions with each step, what changed between two; for htmx the last alone."""
    found = get_object_or_404(EarningRule, pk=pk)
    people = ("rule", "created_by", "submitted_by", "approved_by")
    versions = list(found.versions.select_related(*people).order_by("-version"))
    if not versions:
        return redirect("loyalty:rules")
    with choices_kept():
        compared = _compared(request, versions)
        if request.htmx.target == "differences":
            return render(request, "loyalty/rules/_differences.html", compared | {"rule": found, "is_partial": True})
        return render(request, "loyalty/rules/rule.html", compared | _page(request, found, versions))


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def submit(request: DeskRequest, pk: int) -> HttpResponse:
    """Ask for a second person's approval."""
    text = _("Version %(version)d waits for a second person.")
    comment = request.POST.get("comment", "")[:LONGEST_REASON]
    return _step(request, pk, lambda one: review.submit(one, user=request.user, comment=comment), text)


@requires(Permission.APPROVALS_DECIDE)
@require_POST
def approve(request: DeskRequest, pk: int) -> HttpResponse:
    """The second person's yes."""
    text = _("Version %(version)d is approved.")
    return _step(request, pk, lambda one: review.approve(one, user=request.user), text)


@requires(Permission.APPROVALS_DECIDE)
@require_POST
def refuse(request: DeskRequest, pk: int) -> HttpResponse:
    """The second person's no, with its reason."""
    reason = request.POST.get("reason", "").strip()[:LONGEST_REASON]
    if not reason:
        messages.error(request, _("Say why it is refused: whoever wrote it needs to know."))
        return redirect("loyalty:rule", pk=get_object_or_404(RuleVersion, pk=pk).rule_id)
    text = _("Version %(version)d is refused; it is a draft again.")
    return _step(request, pk, lambda one: review.refuse(one, user=request.user, reason=reason), text)


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def take_back(request: DeskRequest, pk: int) -> HttpResponse:
    """Make a draft again of what waits for approval or was approved."""
    text = _("Version %(version)d is a draft again.")
    return _step(request, pk, lambda one: review.take_back(one, user=request.user), text)


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def activate(request: DeskRequest, pk: int) -> HttpResponse:
    """Let points be earned by an approved version from now on."""
    text = _("Points are earned by version %(version)d from now on.")
    return _step(request, pk, lambda one: rules.activate(one, user=request.user), text)


@requires(Permission.PROGRAMME_EDIT)
@require_POST
def retire(request: DeskRequest, pk: int) -> HttpResponse:
    """Let nothing be earned by an active version from now on."""
    text = _("Version %(version)d is retired. Points that were given stay.")
    return _step(request, pk, lambda one: rules.retire(one, user=request.user), text)


def _step(request: DeskRequest, pk: int, step: Callable[[RuleVersion], object], done: str) -> HttpResponse:
    version = get_object_or_404(RuleVersion.objects.select_related("rule"), pk=pk)
    try:
        step(version)
    except rules.SecondPersonNeeded:
        messages.error(request, _("This needs a second person: somebody other than who wrote or submitted it."))
    except approvals.CannotBeDone as refusal:
        messages.error(request, str(refusal))
    except review.OnlyWhoAsked:
        messages.error(request, _("Only who asked for approval can take it back; somebody who decides can refuse it."))
    except rules.WrongState:
        version.refresh_from_db()
        messages.error(
            request,
            _("Version %(version)d is %(state)s by now.")
            % {"version": version.version, "state": version.get_state_display()},
        )
    except rules.NotYet:
        messages.error(request, _("It starts by itself at the time that it names."))
    else:
        messages.success(request, done % {"version": version.version})
    return redirect("loyalty:rule", pk=version.rule_id)


def _by_rule(versions: Iterable[RuleVersion]) -> list[list[RuleVersion]]:
    found: dict[int, list[RuleVersion]] = {}
    for version in versions:
        found.setdefault(version.rule_id, []).append(version)
    return list(found.values())


def _main(versions: list[RuleVersion]) -> RuleVersion:
    """The version that speaks for its rule; of several in one state the newest."""
    return min(versions, key=lambda version: (ORDER.index(State(version.state)), -version.version))


def _row(versions: list[RuleVersion], given: dict[int, int], now: datetime) -> Row:
    main = _main(versions)
    others = [one for one in versions if one is not main and one.state in rule_steps.OPEN]
    return Row(
        rule=main.rule,
        version=main,
        sentence=sentences.short(main.definition),
        states=[rule_steps.state(main, now), *(rule_steps.state(one, now) for one in others)],
        points=given.get(main.rule_id, 0),
    )


def _is_wanted(request: DeskRequest, versions: list[RuleVersion]) -> bool:
    main = _main(versions)
    text, state, event = (request.GET.get(name, "") for name in ("q", "state", "event"))
    in_sight = {main.state, *(one.state for one in versions if one.state in rule_steps.OPEN)}
    return (
        text.strip().lower() in main.rule.name.lower()
        and (state not in State.values or state in in_sight)
        and event in {"", main.definition.get("event")}
    )


def _points_given(now: datetime, rule: EarningRule | None = None) -> dict[int, int]:
    """Points that each rule gave in the last 30 days."""
    entries = Entry.objects.filter(occurred_at__gte=now - RECENT, kind=Entry.Kind.EARN, rule_version__isnull=False)
    if rule:
        entries = entries.filter(rule_version__rule=rule)
    given = entries.order_by().values_list("rule_version__rule").annotate(Sum("points"))
    return {rule_id: int(points) for rule_id, points in given}


def _page(request: DeskRequest, found: EarningRule, versions: list[RuleVersion]) -> dict[str, Any]:
    now = timezone.now()
    rows = [rule_steps.row(version, request.user, now) for version in versions]
    by_version = {row.version.pk: row for row in rows}
    main = by_version[_main(versions).pk]
    draft = next((row for row in rows if row.version.state == State.DRAFT), None)
    return {
        "rule": found,
        "rows": rows,
        "main": main,
        "tried": (draft or main).version.pk,
        "states": [
            main.state,
            *(row.state for row in rows if row is not main and row.version.state in rule_steps.OPEN),
        ],
        "open_rows": [row for row in rows if row.callout],
        "draft": draft,
        "points": _points_given(now, found).get(found.pk, 0),
        "may_edit": request.user.may(Permission.PROGRAMME_EDIT),
    }


def _compared(request: DeskRequest, versions: list[RuleVersion]) -> dict[str, Any]:
    """Two versions and what differs: those of the address, else the newest and the one before it."""
    by_number = {str(version.version): version for version in versions}
    after = by_number.get(request.GET.get("to", ""), versions[0])
    before = by_number.get(request.GET.get("from", ""), versions[1] if len(versions) > 1 else None)
    return {
        "versions": versions,
        "before": before,
        "after": after,
        "differences": differences.differences(before, after) if before else [],
    }
