"""The versions of a rule: drafted, activated, retired. An active one is never edited."""

from decimal import Decimal

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from loyalty.models import EarningRule, RuleVersion
from loyalty.rules.engine import Terms
from staff import audit
from staff.models import User

State = RuleVersion.State


class NotADraft(Exception):
    """Only a draft becomes active."""


def active_version() -> RuleVersion | None:
    """What purchases earn by now; None while no version is active.

    Of several active rules the one that was activated last counts: there is one rule so far.
    """
    return RuleVersion.objects.filter(state=State.ACTIVE).select_related("rule").order_by("-active_from").first()


def terms_of(version: RuleVersion) -> Terms:
    """What a version says, for the engine."""
    return Terms(
        version_id=version.pk,
        rule=version.rule.name,
        version=version.version,
        points=version.points,
        per_amount=version.per_amount,
        rounding=version.rounding,
        expires_after_months=version.expires_after_months,
    )


@transaction.atomic
def draft(
    rule: EarningRule,
    *,
    points: Decimal,
    per_amount: Decimal,
    rounding: str,
    expires_after_months: int | None,
    user: User | None,
) -> RuleVersion:
    """Write a new version of a rule; nothing earns by it before it is activated."""
    EarningRule.objects.select_for_update().get(pk=rule.pk)  # two drafts at once get two numbers
    last = rule.versions.aggregate(last=Max("version"))["last"] or 0
    version = RuleVersion.objects.create(
        rule=rule,
        version=last + 1,
        points=points,
        per_amount=per_amount,
        rounding=rounding,
        expires_after_months=expires_after_months,
        created_by=user,
    )
    audit.record(user, "rule.draft", version)
    return version


@transaction.atomic
def activate(version: RuleVersion, *, user: User | None) -> RuleVersion:
    """Let purchases earn by this draft from now on; the version before it is retired.

    Activating an active version again changes nothing. Raises :class:`NotADraft` for a retired one.
    """
    EarningRule.objects.select_for_update().get(pk=version.rule_id)
    version.refresh_from_db()
    if version.state == State.ACTIVE:
        return version
    if version.state != State.DRAFT:
        raise NotADraft
    now = timezone.now()
    RuleVersion.objects.filter(rule_id=version.rule_id, state=State.ACTIVE).update(state=State.RETIRED, retired_at=now)
    RuleVersion.objects.filter(pk=version.pk, state=State.DRAFT).update(state=State.ACTIVE, active_from=now)
    version.refresh_from_db()
    audit.record(user, "rule.activate", version)
    return version
