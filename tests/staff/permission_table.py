"""Every address of the desk and who may open it. A room adds a row here with each URL it adds.

A row says what is expected, independently of what the view declares. ``kwargs`` makes what the
address needs and returns its arguments; it runs in the test's database::

    "members:page": opens(P.MEMBERS_VIEW, lambda: {"number": make_member().number}),
    "members:reveal": posts(P.MEMBERS_REVEAL, lambda: {"number": make_member().number}, data={"field": "phone"}),
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from campaigns import links
from campaigns import runs as campaign_runs
from campaigns.models import Campaign
from loyalty import adjustments, intake, ledger, programme, rewards, rules
from loyalty.models import EarningRule, Reward, RuleVersion, Tier, TierBenefit
from loyalty.rules import backtest
from loyalty.tiers import preview
from members import households
from members.importing import runs
from members.importing.options import Options
from members.models import ImportRun
from staff import api_keys
from staff.models import Approval, Job
from staff.permissions import Permission, Scope
from tests.campaigns.campaigns import make_draft
from tests.factories import make_interaction, make_member, make_purchase, make_response, make_segment, make_user

P = Permission

Kwargs = Callable[[], Mapping[str, Any]]


def no_arguments() -> Mapping[str, Any]:
    """For an address without arguments."""
    return {}


@dataclass(frozen=True)
class Row:
    """What is expected of one URL. ``needs`` is a permission, a scope (API) or None (open to everybody)."""

    needs: Permission | Scope | None
    kwargs: Kwargs = no_arguments
    status: int = 200
    """What somebody who may gets for a GET; 405 where only POST is allowed."""
    query: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the test posts for those who may not, to see that nothing happens."""


def opens(needs: Permission, kwargs: Kwargs = no_arguments, *, status: int = 200, query: str = "") -> Row:
    """A page."""
    return Row(needs, kwargs, status, query)


def posts(needs: Permission, kwargs: Kwargs = no_arguments, *, data: Mapping[str, Any] | None = None) -> Row:
    """An address that only takes POST."""
    return Row(needs, kwargs, 405, data=data or {})


def everybody(kwargs: Kwargs = no_arguments, *, status: int = 200) -> Row:
    """An address that needs no sign-in."""
    return Row(None, kwargs, status)


def answers(needs: Scope, kwargs: Kwargs = no_arguments, *, status: int = 200, query: str = "") -> Row:
    """An address of the API that is read with GET."""
    return Row(needs, kwargs, status, query)


def a_benefit() -> Mapping[str, Any]:
    programme.ensure_defaults()
    benefit = TierBenefit.objects.create(tier=Tier.objects.get(key="gold"), kind="delivery", text="Free delivery")
    return {"pk": benefit.pk}


def a_member_of_a_tier() -> Mapping[str, Any]:
    programme.ensure_defaults()
    return a_member()


def a_job() -> Mapping[str, Any]:
    return {"pk": Job.objects.create(kind="test", title="Count the sheep").pk}


def an_approval() -> Mapping[str, Any]:
    return {"pk": Approval.objects.create(kind="test", subject="Count the sheep", requested_label="Lin Mei").pk}


def a_person() -> Mapping[str, Any]:
    return {"pk": make_user("executive", password=None).pk}


def an_inactive_person() -> Mapping[str, Any]:
    return {"pk": make_user("executive", password=None, is_active=False).pk}


def a_member() -> Mapping[str, Any]:
    return {"number": make_member().number}


def a_household() -> Mapping[str, Any]:
    return {"pk": households.create(name="Wang", kind="household", user=None).pk}


def a_segment() -> Mapping[str, Any]:
    return {"pk": make_segment("Active").pk}


def a_member_and_tiers() -> Mapping[str, Any]:
    programme.ensure_defaults()
    return a_member()


def a_purchase() -> Mapping[str, Any]:
    return {"pk": make_purchase().pk}


def a_refund() -> Mapping[str, Any]:
    return {"pk": intake.record_refund(key=secrets.token_hex(8), purchase_key="not yet here").refund.pk}


def an_api_key() -> Mapping[str, Any]:
    return {"pk": api_keys.create(name="Till", scopes=[Scope.MEMBERS_READ], user=None)[0].pk}


def a_draft() -> Mapping[str, Any]:
    make_member(number="M-PREVIEW")
    return {"pk": make_draft().pk}


def a_scheduled_campaign() -> Mapping[str, Any]:
    draft = make_draft()
    return {"pk": campaign_runs.launch(draft.pk, revision=draft.revision, user=None).pk}


def a_test_mail() -> Mapping[str, Any]:
    return {"token": links.unsubscribe_url(links.TEST_MESSAGE).rpartition("/")[2]}


def a_click() -> Mapping[str, Any]:
    return {"token": links.click_url(links.TEST_MESSAGE, "https://shop.example/").rpartition("/")[2]}


def an_import() -> Mapping[str, Any]:
    path = runs.media_directory() / f"{secrets.token_hex(8)}.csv"
    path.write_text("id\na1\n")
    run = runs.create(kind="members", path=path, file_name="people.csv", options=Options(), user=None)
    return {"pk": run.pk}


def a_done_import() -> Mapping[str, Any]:
    done = ImportRun.objects.create(kind="members", file_name="people.csv", state=ImportRun.State.DONE)
    return {"pk": done.pk}


def a_finished_campaign() -> Mapping[str, Any]:
    return {"pk": Campaign.objects.create(name="Autumn", state=Campaign.State.DONE).pk}


def a_rule_draft() -> Mapping[str, Any]:
    programme.ensure_defaults()
    rule = EarningRule.objects.get()
    version = rules.draft(rule, definition=rules.usual(points="2"), user=None)
    return {"pk": version.pk}


def a_rule() -> Mapping[str, Any]:
    a_rule_draft()
    return {"pk": EarningRule.objects.get().pk}


def an_active_version() -> Mapping[str, Any]:
    programme.ensure_defaults()
    return {"pk": RuleVersion.objects.get().pk}


def a_submitted_version() -> Mapping[str, Any]:
    version = RuleVersion.objects.get(pk=a_rule_draft()["pk"])
    rules.submit(version, user=None)
    return {"pk": version.pk}


def an_approved_version() -> Mapping[str, Any]:
    version = RuleVersion.objects.get(pk=a_submitted_version()["pk"])
    rules.approve(version, user=None)
    return {"pk": version.pk}


def a_tier_preview() -> Mapping[str, Any]:
    programme.ensure_defaults()
    return {"pk": Job.objects.create(kind=preview.JOB, title="Preview", payload={"ladder": "", "form": ""}).pk}


def a_backtest() -> Mapping[str, Any]:
    return {"pk": Job.objects.create(kind=backtest.JOB, title="Backtest", payload={"version": 1, "months": 3}).pk}


def a_reward() -> Mapping[str, Any]:
    return {"pk": Reward.objects.create(name=f"Coffee {secrets.token_hex(4)}", points=100).pk}


def a_reason() -> Mapping[str, Any]:
    return {"pk": adjustments.reasons()[0].pk}


def an_entry() -> Mapping[str, Any]:
    key, now = secrets.token_hex(8), timezone.now()
    entry = ledger.award(member_id=make_member().pk, points=100, key=key, occurred_at=now, explanation={})
    return {"pk": entry.pk}


def a_redemption() -> Mapping[str, Any]:
    member = make_member()
    ledger.award(member_id=member.pk, points=100, key=secrets.token_hex(8), occurred_at=timezone.now(), explanation={})
    reserved = rewards.redeem(member_id=member.pk, reward_id=a_reward()["pk"], key=secrets.token_hex(8), user=None)
    return {"pk": reserved.pk}


TABLE: dict[str, Row] = {
    # config
    "home": opens(P.DESK_USE),
    "home_needs": opens(P.DESK_USE),
    "home_figures": opens(P.ANALYTICS_VIEW),
    "health": opens(P.HEALTH_VIEW),
    "health_verification": opens(P.HEALTH_VIEW),
    "health_pill": opens(P.DESK_USE),
    "healthz": everybody(),
    "readyz": everybody(status=503),
    "metrics": everybody(),
    "csp-report": everybody(status=405),
    "look": opens(P.DESK_USE),
    "set_theme": everybody(status=405),
    "set_language": everybody(status=405),
    # sign-in: what those see who are signed in with a password and without a second step
    "account_login": everybody(status=302),
    "account_logout": everybody(),
    "account_inactive": everybody(),
    "account_reauthenticate": opens(P.DESK_USE),
    "account_change_password": opens(P.DESK_USE),
    "account_set_password": opens(P.DESK_USE, status=302),
    "account_reset_password": everybody(),
    "account_reset_password_done": everybody(),
    "account_reset_password_from_key": everybody(lambda: {"uidb36": "1", "key": "a-b"}),
    "account_reset_password_from_key_done": everybody(),
    "mfa_index": opens(P.DESK_USE),
    "mfa_authenticate": everybody(status=302),
    "mfa_reauthenticate": opens(P.DESK_USE, status=302),
    "mfa_activate_totp": opens(P.DESK_USE, status=302),
    "mfa_deactivate_totp": opens(P.DESK_USE, status=404),
    "mfa_view_recovery_codes": opens(P.DESK_USE, status=404),
    "mfa_generate_recovery_codes": opens(P.DESK_USE, status=302),
    "mfa_download_recovery_codes": opens(P.DESK_USE, status=404),
    # staff
    "staff:jobs": opens(P.JOBS_VIEW),
    "staff:job": opens(P.JOBS_VIEW, a_job),
    "staff:job_cancel": posts(P.JOBS_VIEW, a_job),
    "staff:approvals": opens(P.APPROVALS_VIEW),
    "staff:approvals_csv": opens(P.APPROVALS_VIEW),
    "staff:approval": opens(P.APPROVALS_VIEW, an_approval),
    "staff:approval_approve": posts(P.APPROVALS_DECIDE, an_approval),
    "staff:approval_refuse": posts(P.APPROVALS_DECIDE, an_approval, data={"reason": "no"}),
    "staff:approval_withdraw": posts(P.APPROVALS_VIEW, an_approval),
    "staff:audit": opens(P.AUDIT_VIEW),
    "staff:audit_csv": opens(P.AUDIT_VIEW),
    "staff:changes": opens(P.AUDIT_VIEW),
    "staff:people": opens(P.PEOPLE_EDIT),
    "staff:invite": Row(P.PEOPLE_EDIT, data={"name": "A", "email": "a@b.com", "role": "executive", "language": "en"}),
    "staff:invite_again": posts(P.PEOPLE_EDIT, a_person),
    "staff:change_role": posts(P.PEOPLE_EDIT, a_person, data={"role": "approver"}),
    "staff:deactivate": posts(P.PEOPLE_EDIT, a_person),
    "staff:reactivate": posts(P.PEOPLE_EDIT, an_inactive_person),
    "staff:api_keys": opens(P.API_KEYS_EDIT),
    "staff:api_key_new": Row(P.API_KEYS_EDIT, data={"name": "Till", "scopes": ["members.read"]}),
    "staff:api_key_revoke": posts(P.API_KEYS_EDIT, an_api_key),
    # campaigns
    "campaigns:list": opens(P.CAMPAIGNS_VIEW),
    "campaigns:new": Row(P.CAMPAIGNS_EDIT, data={"name": "Autumn", "goal_days": "14"}),
    "campaigns:campaign": opens(P.CAMPAIGNS_VIEW, a_scheduled_campaign),
    "campaigns:messages": opens(P.CAMPAIGNS_VIEW, a_scheduled_campaign),
    "campaigns:copy": posts(P.CAMPAIGNS_EDIT, a_scheduled_campaign),
    "campaigns:delete": posts(P.CAMPAIGNS_EDIT, a_draft),
    "campaigns:act": posts(P.CAMPAIGNS_LAUNCH, lambda: {**a_scheduled_campaign(), "action": "cancel"}),
    "campaigns:launch": posts(P.CAMPAIGNS_LAUNCH, a_draft, data={"revision": "2"}),
    "campaigns:reach": posts(P.CAMPAIGNS_EDIT, a_draft),
    "campaigns:split": posts(P.CAMPAIGNS_EDIT, a_draft),
    "campaigns:keep_content": posts(P.CAMPAIGNS_EDIT, a_draft, data={"revision": "2", "A-subject": "x", "A-body": "x"}),
    "campaigns:one_variant": posts(P.CAMPAIGNS_EDIT, a_draft),
    "campaigns:send_test": posts(P.CAMPAIGNS_EDIT, a_draft),
    "campaigns:preview": opens(P.CAMPAIGNS_EDIT, lambda: {**a_draft(), "key": "A"}, query="member=M-PREVIEW"),
    "campaigns:edit": Row(
        P.CAMPAIGNS_EDIT,
        lambda: {**a_draft(), "step": "goal"},
        data={"revision": "2", "name": "Other", "goal_days": "3"},
    ),
    # campaigns: the signed links in messages
    "campaigns:click": everybody(a_click, status=302),
    "campaigns:pixel": everybody(a_test_mail),
    "campaigns:unsubscribe": everybody(a_test_mail),
    "campaigns:read": everybody(a_test_mail, status=404),
    # members
    "members:find": opens(P.MEMBERS_VIEW),
    "members:suggest": opens(P.MEMBERS_VIEW, query="q=wang"),
    "members:export": opens(P.MEMBERS_VIEW),
    "members:member": opens(P.MEMBERS_VIEW, a_member),
    "members:reveal": posts(P.MEMBERS_REVEAL, a_member),
    "members:consent": posts(P.MEMBERS_EDIT, a_member, data={"channel": "email", "granted": "yes", "reason": "asked"}),
    "members:pick": opens(P.MEMBERS_VIEW, query="q=wang"),
    "members:households": opens(P.MEMBERS_VIEW),
    "members:household": opens(P.MEMBERS_VIEW, a_household),
    "members:household-new": Row(P.MEMBERS_EDIT, data={"name": "Wang", "kind": "household"}),
    "members:household-rename": posts(P.MEMBERS_EDIT, a_household, data={"name": "Li", "kind": "company"}),
    "members:segments": opens(P.MEMBERS_VIEW),
    "members:segment": opens(P.MEMBERS_VIEW, a_segment),
    "members:segment-new": Row(P.SEGMENTS_EDIT, data={"name": "Wang", "conditions": '{"all": []}'}),
    "members:segment-edit": Row(P.SEGMENTS_EDIT, a_segment, data={"name": "Li"}),
    "members:segment-build": posts(P.SEGMENTS_EDIT, a_segment),
    "members:segment-delete": posts(P.SEGMENTS_EDIT, a_segment),
    "members:segment-export": opens(P.MEMBERS_VIEW, a_segment),
    "members:conditions": posts(P.DESK_USE),
    "members:condition-counts": posts(P.MEMBERS_VIEW),
    "members:imports": opens(P.MEMBERS_IMPORT),
    "members:import_new": opens(P.MEMBERS_IMPORT),
    "members:import": opens(P.MEMBERS_IMPORT, an_import),
    "members:import_columns": opens(P.MEMBERS_IMPORT, an_import),
    "members:import_read_again": posts(P.MEMBERS_IMPORT, an_import, data={"delimiter": ";"}),
    "members:import_start": posts(P.MEMBERS_IMPORT, an_import),
    "members:import_errors": opens(P.MEMBERS_IMPORT, an_import, status=404),
    "members:import_undo": opens(P.MEMBERS_IMPORT, a_done_import),
    "members:import_remove": posts(P.MEMBERS_IMPORT, an_import),
    # analytics
    "analytics:overview": opens(P.ANALYTICS_VIEW),
    "analytics:retention": opens(P.ANALYTICS_VIEW),
    "analytics:redemption": opens(P.ANALYTICS_VIEW),
    "analytics:nps": opens(P.ANALYTICS_VIEW),
    "analytics:answers": opens(P.ANALYTICS_VIEW),
    "analytics:answers_csv": opens(P.ANALYTICS_VIEW),
    "analytics:ab": opens(P.ANALYTICS_VIEW),
    "analytics:ab_result": opens(P.ANALYTICS_VIEW, a_finished_campaign),
    "analytics:value": opens(P.ANALYTICS_VIEW),
    "analytics:value-refresh": posts(P.PROGRAMME_EDIT),
    "analytics:members": opens(P.ANALYTICS_VIEW, query="metric=active-members"),
    "analytics:members_csv": opens(P.ANALYTICS_VIEW, query="metric=active-members"),
    "analytics:metrics": opens(P.ANALYTICS_VIEW),
    "analytics:csv": opens(P.ANALYTICS_VIEW, lambda: {"key": "redemption-rate"}),
    # API
    "api:kpis": answers(Scope.KPIS_READ),
    "api:kpi": answers(Scope.KPIS_READ, lambda: {"key": "nps"}),
    "api:root": everybody(),
    "api:schema": everybody(),
    "api:unknown": everybody(lambda: {"rest": "no/such/thing"}, status=404),
    "api:members": answers(Scope.MEMBERS_READ),
    "api:purchases": answers(Scope.PURCHASES_READ),
    "api:purchase-batch": answers(Scope.PURCHASES_WRITE, status=405),
    "api:survey-response-release": answers(Scope.INTERACTIONS_WRITE, lambda: {"key": make_response().key}, status=405),
    "api:interaction-release": answers(Scope.INTERACTIONS_WRITE, lambda: {"key": make_interaction().key}, status=405),
    "api:purchase-release": answers(Scope.PURCHASES_WRITE, lambda: {"key": make_purchase().key}, status=405),
    "api:purchase": answers(Scope.PURCHASES_READ, lambda: {"key": make_purchase().key}),
    "api:points": answers(Scope.POINTS_READ, a_member),
    "api:lots": answers(Scope.POINTS_READ, a_member),
    "api:entries": answers(Scope.POINTS_READ, a_member),
    "api:transfers": answers(Scope.POINTS_TRANSFER, a_member, status=405),
    "api:adjustments": answers(Scope.POINTS_ADJUST, a_member, status=405),
    "api:refunds": answers(Scope.REFUNDS_WRITE, status=405),
    "api:refund-batch": answers(Scope.REFUNDS_WRITE, status=405),
    "api:interactions": answers(Scope.INTERACTIONS_WRITE, status=405),
    "api:interaction-batch": answers(Scope.INTERACTIONS_WRITE, status=405),
    "api:quotes": answers(Scope.QUOTES_READ, status=405),
    "api:rewards": answers(Scope.REWARDS_READ),
    "api:redemptions": answers(Scope.REWARDS_REDEEM, status=405),
    "api:redemption": answers(Scope.REWARDS_READ, a_redemption),
    "api:redemption-confirm": answers(Scope.REWARDS_REDEEM, a_redemption, status=405),
    "api:redemption-cancel": answers(Scope.REWARDS_REDEEM, a_redemption, status=405),
    "api:segments": answers(Scope.SEGMENTS_READ),
    "api:tiers": answers(Scope.TIERS_READ),
    "api:tier": answers(Scope.TIERS_READ, a_member_and_tiers),
    "api:survey-responses": answers(Scope.INTERACTIONS_WRITE, status=405),
    "api:member": answers(Scope.MEMBERS_READ, lambda: {"number": make_member().number}),
    # loyalty
    "loyalty:tiers": opens(P.PROGRAMME_VIEW),
    "loyalty:programme-start": posts(P.PROGRAMME_EDIT),
    "loyalty:tiers-preview": posts(P.PROGRAMME_EDIT),
    "loyalty:tiers-preview-result": opens(P.PROGRAMME_VIEW, a_tier_preview),
    "loyalty:tiers-preview-members": opens(P.MEMBERS_VIEW, a_tier_preview, status=404),
    "loyalty:tiers-preview-csv": opens(P.MEMBERS_VIEW, a_tier_preview, status=404),
    "loyalty:tiers-save": posts(P.PROGRAMME_EDIT),
    "loyalty:tiers-downgrades": opens(P.PROGRAMME_VIEW),
    "loyalty:tier-benefit-add": posts(P.PROGRAMME_EDIT),
    "loyalty:tier-benefit-remove": posts(P.PROGRAMME_EDIT, a_benefit),
    "loyalty:member-tier": opens(P.MEMBERS_VIEW, a_member),
    "loyalty:member-tier-grant": Row(P.TIERS_GRANT, a_member_of_a_tier, data={"reason": "apology"}),
    "loyalty:member-tier-withdraw": Row(P.TIERS_GRANT, a_member_of_a_tier, data={"reason": "mistake"}),
    "loyalty:rules": opens(P.PROGRAMME_VIEW),
    "loyalty:rule-new": Row(P.PROGRAMME_EDIT, data={"starter": "check-in", "name": "Check-ins"}),
    "loyalty:rule": opens(P.PROGRAMME_VIEW, a_rule),
    "loyalty:rules-backtests": Row(P.PROGRAMME_EDIT, data={"version": "1", "months": "3"}),
    "loyalty:rules-backtest": opens(P.PROGRAMME_EDIT, a_backtest),
    "loyalty:rules-backtest-csv": opens(P.PROGRAMME_EDIT, a_backtest, status=404),
    "loyalty:rules-simulate": opens(P.PROGRAMME_VIEW),
    "loyalty:purchase-why": opens(P.MEMBERS_VIEW, lambda: {"pk": make_purchase().pk}),
    "loyalty:rule-edit": Row(P.PROGRAMME_EDIT, a_rule_draft, data={"event": "purchase"}),
    "loyalty:rule-read": posts(P.PROGRAMME_EDIT, a_rule_draft),
    "loyalty:rule-redraw": posts(P.PROGRAMME_EDIT, a_rule_draft),
    "loyalty:rule-copy": posts(P.PROGRAMME_EDIT, an_active_version),
    "loyalty:rule-submit": posts(P.PROGRAMME_EDIT, a_rule_draft),
    "loyalty:rule-approve": posts(P.APPROVALS_DECIDE, a_submitted_version),
    "loyalty:rule-refuse": posts(P.APPROVALS_DECIDE, a_submitted_version, data={"reason": "too much"}),
    "loyalty:rule-take-back": posts(P.PROGRAMME_EDIT, a_submitted_version),
    "loyalty:rule-activate": posts(P.PROGRAMME_EDIT, an_approved_version),
    "loyalty:rule-retire": posts(P.PROGRAMME_EDIT, an_active_version),
    "loyalty:rewards": opens(P.PROGRAMME_VIEW),
    "loyalty:reward-new": Row(P.PROGRAMME_EDIT, data={"name": "Tea", "points": "5", "cost": "1", "unlimited": "on"}),
    "loyalty:reward": Row(P.PROGRAMME_EDIT, a_reward, data={"name": "Tea", "points": "5", "cost": "1"}),
    "loyalty:redemptions": opens(P.PROGRAMME_VIEW),
    "loyalty:redemption-advance": posts(P.POINTS_REDEEM, a_redemption),
    "loyalty:redemption-cancel": posts(P.POINTS_REDEEM, a_redemption),
    "loyalty:ledger": opens(P.PROGRAMME_VIEW),
    "loyalty:ledger-movement-csv": opens(P.PROGRAMME_VIEW),
    "loyalty:ledger-expiry-csv": opens(P.PROGRAMME_VIEW),
    "loyalty:ledger-entries": opens(P.PROGRAMME_VIEW, query="month=2026-01&column=issued"),
    "loyalty:ledger-entries-csv": opens(P.PROGRAMME_VIEW, query="month=2026-01&column=issued"),
    "loyalty:ledger-expiring": opens(P.PROGRAMME_VIEW),
    "loyalty:ledger-expiring-csv": opens(P.PROGRAMME_VIEW),
    "loyalty:member-badge": opens(P.MEMBERS_VIEW, a_member),
    "loyalty:member-summary": opens(P.MEMBERS_VIEW, a_member),
    "loyalty:member-lots": opens(P.MEMBERS_VIEW, a_member),
    "loyalty:member-pool": opens(P.MEMBERS_VIEW, a_member),
    "loyalty:household-pool": opens(P.MEMBERS_VIEW, a_household),
    "loyalty:household-join": Row(P.MEMBERS_EDIT, a_household, data={"member": "M-1"}),
    "loyalty:household-leave": Row(P.MEMBERS_EDIT, a_household, data={"member": "M-1"}),
    "loyalty:settings": Row(P.PROGRAMME_EDIT, data={"grace_days": "1"}),
    "loyalty:adjust-reason": posts(P.PROGRAMME_EDIT, a_reason, data={"name": "Whim"}),
    "loyalty:member-adjust": Row(P.POINTS_ADJUST, a_member, data={"points": "5", "step": "do"}),
    "loyalty:member-transfer": Row(P.POINTS_TRANSFER, a_member, data={"points": "5", "step": "do"}),
    "loyalty:batches": Row(P.POINTS_UNDO_BATCH, data={"version": "1"}),
    "loyalty:member-waiting": opens(P.MEMBERS_VIEW, a_member),
    "loyalty:entry-reverse": Row(P.POINTS_REVERSE, an_entry, data={"comment": "no"}),
    "loyalty:member-purchases": opens(P.MEMBERS_VIEW, a_member),
    "loyalty:refunds": opens(P.MEMBERS_VIEW),
    "loyalty:refund-undo": Row(P.POINTS_REVERSE, a_refund, data={"comment": "mistake"}),
    "loyalty:purchase-refund": Row(P.POINTS_ADJUST, a_purchase, data={"key": "k", "way": "rest", "step": "do"}),
    "loyalty:member-release": Row(P.POINTS_ADJUST, a_member, data={"entry": "1"}),
    "loyalty:member-redeem": Row(P.POINTS_REDEEM, a_member, data={"key": "k", "reward": "1"}),
}
