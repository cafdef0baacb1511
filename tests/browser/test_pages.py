"""Every page in a real browser: readable by everybody, in both themes, at every width, under the policy.

A room adds its pages to ``PAGES``; a page that needs data names a function that makes it and returns
the address.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from analytics import valuing
from loyalty import adjustments, ledger, programme, rewards, rules, tiers
from loyalty.intake import record_purchase
from loyalty.models import EarningRule, Reward, RuleVersion, Tier, TierBenefit
from loyalty.rules import starters
from loyalty.tiers import preview, proposals
from members import households, segments
from members.importing import runs
from members.importing.options import Options
from members.models import ImportRun
from staff import api_keys, audit, jobs, people
from staff.models import Approval, Job
from staff.permissions import Role
from tests.analytics.programme import an_ab_result, an_imported_result, half_a_year_of_everything
from tests.browser.conftest import Desk
from tests.campaigns.campaigns import draft_at, running_campaign
from tests.factories import make_interaction, make_member, make_purchase, make_response, make_segment, make_user

Address = str | Callable[[], str]


def busy_member() -> str:
    """A member to whom much happened."""
    member = make_member(consents={"email": True, "sms": False}, attributes={"city": "上海"})
    for day in range(30):
        make_purchase(member, purchased_at=timezone.now() - timedelta(days=day, hours=1))
    make_interaction(member)
    make_response(member, score=3, comment="The queue is too long.")
    return f"/members/{member.number}/"


def found_members() -> str:
    """A search with several matches."""
    for given in ("Xiaoyu", "Mei", "Wei"):
        make_purchase(make_member(given_name=given))
    return "/members/?q=wang"


def points_that_expire() -> str:
    """A ledger of half a year, with points that expire soon and later."""
    now = timezone.now()
    for month in range(7):
        member = make_member()
        for days in (12, 200):
            ledger.award(
                member_id=member.pk,
                points=1_000 + month,
                key=f"{month}:{days}",
                occurred_at=now - timedelta(days=30 * month),
                expires_at=now + timedelta(days=days + month),
                explanation={},
            )
    return "/programme/ledger/"


WIDTHS = (768, 1280, 1440)


def a_failed_job() -> str:
    """The home page of somebody whom something needs."""
    Job.objects.create(kind="import", title="Import a.csv", state="failed", error="No.", finished_at=timezone.now())
    return "/"


def jobs_in_every_state() -> str:
    """The list of jobs, one of each state."""
    for state in Job.State.values:
        over = {} if state in {"queued", "running"} else {"finished_at": timezone.now()}
        Job.objects.create(kind="import", title=f"Import {state}.csv", state=state, done=40, total=100, **over)
    return "/desk/jobs/"


def a_running_job() -> str:
    """The page of a job under way."""
    now = timezone.now()
    job = Job.objects.create(
        kind="import", title="Import a.csv", state="running", step="Copying rows", done=40, total=100, started_at=now
    )
    return job.get_absolute_url()


def audited_acts() -> str:
    """The audit, with more than one page of it."""
    user = make_user(name="Lin Mei")
    for _number in range(60):
        audit.record(user, "sign-in", user, detail={"scopes": ["members.read"]}, address="203.0.113.9")
    return "/desk/audit/?action=sign-in"


def changed_people() -> str:
    """The changes of configuration, with a difference."""
    people.change_role(make_user("approver"), "executive", by=make_user())
    return "/desk/audit/changes/"


def two_api_keys() -> str:
    """The keys, one of them revoked."""
    api_keys.create(name="Tills", scopes=["members.read"], user=None)
    key, _text = api_keys.create(name="Old shop", scopes=["kpis.read"], user=make_user())
    api_keys.revoke(key, user=None)
    return "/desk/api-keys/"


def an_import(text: str = "id,joined,phone\na1,20240229,13800138000\na2,20240230,1\n") -> ImportRun:
    """A file that was uploaded."""
    path = runs.media_directory() / "people.csv"
    path.write_text(text)
    return runs.create(kind="members", path=path, file_name="people.csv", options=Options(), user=None)


def columns_of_a_file() -> str:
    """The columns of a file, with dates that cannot be read yet."""
    return f"/members/imports/{an_import().pk}/columns/"


def checked_file_with_bad_rows() -> str:
    """What a check found."""
    run = an_import()
    runs.check(run, lambda _done, _total, _step: None)
    return f"/members/imports/{run.pk}/"


def import_under_way() -> str:
    """A job of an import, on the import's page."""
    run = an_import()
    run.job = Job.objects.create(kind="import", title="Import people.csv", state="running", done=40, total=100)
    run.save(update_fields=["job"])
    return f"/members/imports/{run.pk}/"


def done_import() -> str:
    """What came of an import."""
    run = an_import("id\na1\n")
    runs.perform(run, lambda _done, _total, _step: None)
    return f"/members/imports/{run.pk}/"


def a_rich_member() -> str:
    """A member with points of several months, a tier and a redemption."""
    programme.ensure_defaults()
    member = make_member()
    for place in range(4):
        record_purchase(
            member_id=member.pk,
            key=f"rich:{place}",
            purchased_at=timezone.now() - timedelta(days=40 * place + 1),
            amount=Decimal(3_000),
        )
    reward = Reward.objects.create(name="Coffee set", name_zh="咖啡套装", points=2_000, stock=3)
    rewards.redeem(member_id=member.pk, reward_id=reward.pk, key="rich", user=make_user(Role.CUSTOMER_SERVICE))
    return f"/members/{member.number}/"


def two_versions_of_a_rule() -> str:
    """A rule with an active version and a draft, and what changed between them."""
    programme.ensure_defaults()
    active = RuleVersion.objects.get(rule__name=programme.RULE, state="active")
    rules.draft(active.rule, definition=rules.usual(points="2"), user=make_user(Role.MARKETING_MANAGER))
    return f"/programme/rules/{active.rule_id}/"


def a_draft_of_a_rule() -> str:
    """The builder with conditions, a ladder, factors by tier and a limit."""
    definition = starters.find("per-unit").definition | {
        "when": {"all": [{"fact": "purchase.amount", "op": "gte", "value": "1000"}]},
        "effects": [
            {"type": "per_amount", "points": "1", "per": "1", "lines": {"all": []}},
            {"type": "ladder", "steps": [{"from": "0", "factor": "1"}, {"from": "1000", "factor": "2"}], "of": "part"},
            {"type": "coefficient", "fact": "member.tier", "factors": {"gold": "1.2"}, "default": "1"},
        ],
        "caps": [{"per": "day", "of": "member", "points": 5_000}],
    }
    rule = EarningRule.objects.create(name="More for large baskets")
    return f"/programme/rules/versions/{rules.draft(rule, definition=definition, user=None).pk}/edit/"


def a_simulated_basket() -> str:
    """What a basket earns today and with a draft, and why not."""
    draft = RuleVersion.objects.filter(state="draft").latest("pk")
    return f"/programme/rules/simulate/?amount=500&channel=store&version={draft.pk}"


def a_simulated_referral() -> str:
    """What a referral gives both members today and with a draft, with nobody in particular."""
    programme.ensure_defaults()
    make_member(number="M-FRIEND")
    definition = starters.find("referral").definition
    draft = rules.draft(EarningRule.objects.create(name="Bring a friend"), definition=definition, user=None)
    asked = "kind=referral&property1-name=referred&property1-value=M-FRIEND"
    return f"/programme/rules/simulate/?event=interaction&{asked}&version={draft.pk}"


def reward_form() -> str:
    """The form of a reward."""
    return f"/programme/rewards/{Reward.objects.get_or_create(name='Tea', defaults={'points': 5})[0].pk}/"


def a_waiting_approval() -> str:
    """A request that somebody else decides, with what it would do."""
    wish = adjustments.Adjustment(member_id=make_member().pk, points=2_500, reason="goodwill", comment="Late order.")
    asked = adjustments.adjust(wish, key="waiting", user=make_user(Role.CUSTOMER_SERVICE))
    assert isinstance(asked, Approval)
    return asked.get_absolute_url()


def a_segment_that_is_used() -> str:
    """A segment with members, who left it, and another segment that asks for it."""
    inside = make_segment("Regulars", members=[make_member(), make_member()])
    segments.fill(inside, [make_member().pk])
    make_segment("All but regulars", conditions={"fact": "member.segment", "op": "not_in", "value": [str(inside.pk)]})
    return f"/members/segments/{inside.pk}/"


def members_of_value() -> str:
    """A valuation of some who came once and some who came again."""
    programme.ensure_defaults()
    now = timezone.now()
    for place in range(240):
        member = make_member()
        for visit in range(1 if place % 2 else 2 + place % 7):
            at = now - timedelta(days=300 - 40 * visit - place % 30)
            make_purchase(member, amount=40 + place, purchased_at=at)
    valuing.value_members(now)
    return "/analytics/value/"


def a_tier_preview() -> str:
    """Who would move under thresholds that were typed."""
    programme.ensure_defaults()
    for amount in (2_500, 7_500):
        record_purchase(
            member_id=make_member().pk, key=f"{amount}", purchased_at=timezone.now(), amount=Decimal(amount)
        )
    thresholds = {"silver": 3_000, "gold": 7_000}
    rungs = [
        replace(rung, thresholds={"spend": Decimal(thresholds[rung.key])}) if rung.key in thresholds else rung
        for rung in tiers.ladder().rungs
    ]
    job = preview.start(tiers.Ladder(rungs, tiers.ladder().scheme), form="", user=make_user())
    return str(jobs.run_inline(job).result["links"][0]["url"])


def tiers_that_are_asked_for(*, page: str = "") -> str:
    """Another threshold and a gift that wait for a second person: the page of tiers, or that of the request."""
    programme.ensure_defaults()
    make_user(Role.APPROVER)
    manager, stands = make_user(Role.MARKETING_MANAGER), tiers.ladder()
    rungs = [replace(rung, multiplier=rung.multiplier * 2) for rung in stands.rungs]
    asked = proposals.save(tiers.Ladder(rungs, stands.scheme), {}, form="", user=manager)
    assert isinstance(asked, Approval)
    gift = TierBenefit(tier=Tier.objects.get(key="gold"), kind="gift", text="300 points", points=300)
    proposals.add_benefit(gift, user=manager)
    return page or asked.get_absolute_url()


def a_household() -> str:
    """A household of two."""
    home = households.create(name="Wang", kind="household", user=None)
    for _ in range(2):
        households.join(home, make_member(), user=None)
    return home.get_absolute_url()


# Room: its pages, each an address (or a function that prepares data and returns it) and a role that sees it.
PAGES: dict[str, list[tuple[Address, str | None]]] = {
    "look": [("/look/", Role.MARKETING_MANAGER), ("/no-such-page/", Role.EXECUTIVE)],
    "accounts": [
        ("/accounts/login/", None),
        ("/accounts/password/reset/", None),
        ("/accounts/password/reset/done/", None),
        ("/accounts/2fa/", Role.EXECUTIVE),
        ("/accounts/password/change/", Role.EXECUTIVE),
        ("/accounts/reauthenticate/", Role.EXECUTIVE),
    ],
    "analytics": [
        (half_a_year_of_everything, Role.EXECUTIVE),
        *((f"/analytics/{page}/", Role.EXECUTIVE) for page in ("retention", "redemption", "nps", "nps/answers", "ab")),
        *((page, Role.EXECUTIVE) for page in (an_ab_result, an_imported_result)),
        ("/analytics/value/", Role.EXECUTIVE),
        (members_of_value, Role.MARKETING_MANAGER),
        ("/analytics/members/?metric=members-by-tier&tier=silver", Role.APPROVER),
        ("/analytics/metrics/", Role.EXECUTIVE),
    ],
    "config": [("/", Role.APPROVER), (a_failed_job, Role.ADMINISTRATOR), ("/desk/health/", Role.ADMINISTRATOR)],
    "loyalty": [
        (a_rich_member, Role.CUSTOMER_SERVICE),
        *(
            (f"/programme/{page}/", Role.MARKETING_MANAGER)
            for page in ("tiers", "tiers/downgrades", "rules", "rewards", "rewards/new")
        ),
        (reward_form, Role.MARKETING_MANAGER),
        (a_tier_preview, Role.MARKETING_MANAGER),
        (tiers_that_are_asked_for, Role.APPROVER),
        (lambda: tiers_that_are_asked_for(page="/programme/tiers/"), Role.MARKETING_MANAGER),
        ("/programme/rules/?q=nothing", Role.EXECUTIVE),
        *((f"/programme/rules/{page}/", Role.MARKETING_MANAGER) for page in ("new", "simulate", "backtests")),
        *((page, Role.MARKETING_MANAGER) for page in (two_versions_of_a_rule, a_draft_of_a_rule, a_simulated_basket)),
        (a_simulated_referral, Role.MARKETING_MANAGER),
        ("/programme/settings/", Role.MARKETING_MANAGER),
        ("/programme/batches/", Role.MARKETING_MANAGER),
        ("/programme/redemptions/", Role.CUSTOMER_SERVICE),
        ("/programme/redemptions/?q=nobody", Role.EXECUTIVE),
        ("/programme/refunds/", Role.CUSTOMER_SERVICE),
        ("/programme/ledger/", Role.EXECUTIVE),
        (points_that_expire, Role.MARKETING_MANAGER),
        ("/programme/ledger/expiring/?days=30", Role.MARKETING_MANAGER),
        (lambda: f"/programme/ledger/entries/?month={timezone.localdate():%Y-%m}&column=issued", Role.APPROVER),
    ],
    "members": [
        ("/members/", Role.CUSTOMER_SERVICE),
        ("/members/?q=nobody", Role.CUSTOMER_SERVICE),
        (found_members, Role.CUSTOMER_SERVICE),
        (a_household, Role.CUSTOMER_SERVICE),
        ("/members/households/", Role.CUSTOMER_SERVICE),
        ("/members/households/new/", Role.CUSTOMER_SERVICE),
        (busy_member, Role.CUSTOMER_SERVICE),
        ("/members/segments/", Role.MARKETING_MANAGER),
        ("/members/segments/new/", Role.MARKETING_MANAGER),
        ("/members/segments/new/?kind=static", Role.MARKETING_MANAGER),
        (a_segment_that_is_used, Role.MARKETING_MANAGER),
        ("/members/segments/", Role.CUSTOMER_SERVICE),
    ],
    "imports": [
        ("/members/imports/", Role.MARKETING_MANAGER),
        ("/members/imports/new/", Role.MARKETING_MANAGER),
        (columns_of_a_file, Role.MARKETING_MANAGER),
        (checked_file_with_bad_rows, Role.MARKETING_MANAGER),
        (import_under_way, Role.MARKETING_MANAGER),
        (done_import, Role.MARKETING_MANAGER),
    ],
    "campaigns": [
        ("/campaigns/", Role.EXECUTIVE),
        ("/campaigns/new/", Role.MARKETING_MANAGER),
        *((draft_at(step), Role.MARKETING_MANAGER) for step in ("goal", "audience", "content", "schedule", "review")),
        (running_campaign, Role.MARKETING_MANAGER),
        (lambda: running_campaign() + "messages/", Role.APPROVER),
    ],
    "staff": [
        *((f"/desk/{page}/", Role.ADMINISTRATOR) for page in ("jobs", "people", "people/invite", "api-keys/new")),
        *((page, Role.ADMINISTRATOR) for page in (jobs_in_every_state, a_running_job, audited_acts, changed_people)),
        (two_api_keys, Role.ADMINISTRATOR),
        (a_waiting_approval, Role.APPROVER),
        ("/desk/approvals/", Role.APPROVER),
        ("/desk/approvals/?show=decided", Role.APPROVER),
    ],
}


@pytest.mark.parametrize("room", PAGES)
def test_every_page_is_readable_in_both_themes_and_fits_every_width(room: str, desk: Callable[..., Desk]) -> None:
    tabs: dict[str | None, Desk] = {}
    wrong: list[str] = []
    for address, role in [(page() if callable(page) else page, role) for page, role in PAGES[room]]:
        tab = tabs.setdefault(role, tabs.get(role) or desk(role))
        tab.open(address)
        for theme in ("light", "dark"):
            tab.show(theme)
            wrong += [f"{address} ({theme}): {barrier}" for barrier in tab.barriers()]
        wrong += [f"{address}: {overflow}" for width in WIDTHS if (overflow := tab.overflow(width))]
    assert wrong == []
