"""The pages of tiers: preview and who is behind it, benefits, downgrades ahead, and tiers given by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from config import needs
from loyalty import programme, tiers
from loyalty.intake import record_purchase
from loyalty.models import ForeseenMove, Tier, TierBenefit, TierGrant, TierScheme
from loyalty.tier_models import scheme
from loyalty.tiers import editing, preview
from members.conditions import counts
from members.models import Member
from staff import jobs
from staff.models import AuditEntry, Job
from staff.permissions import Role
from tests.factories import make_member, make_user

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _programme() -> None:
    programme.ensure_defaults()


def signed_in(role: str = Role.MARKETING_MANAGER) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def bought(amount: int, days_ago: int = 1) -> Member:
    member = make_member()
    at = timezone.now() - timedelta(days=days_ago)
    record_purchase(member_id=member.pk, key=f"k{member.pk}", purchased_at=at, amount=Decimal(amount))
    return member


def filled_in(**changes: object) -> dict[str, object]:
    """The form as the page shows it, with changes ("spend_gold")."""
    stands = scheme()
    form: dict[str, object] = {name: changes.get(name, getattr(stands, name)) for name in editing.SCHEME_FIELDS}
    for tier in Tier.objects.prefetch_related("thresholds"):
        for part in ("name", "name_zh", "multiplier"):
            form[f"{part}_{tier.pk}"] = getattr(tier, part)
        thresholds = {row.measure: row.value for row in tier.thresholds.all()}
        for measure in ("spend", "orders"):
            value = changes.get(f"{measure}_{tier.key}", thresholds.get(measure))
            if value is not None:
                form[f"{measure}_{tier.pk}"] = value
    return form


def previewed(desk: Client, **changes: object) -> Job:
    """The job of a preview of the form with these changes, done."""
    desk.post(reverse("loyalty:tiers-preview"), filled_in(**changes))
    return jobs.run_inline(Job.objects.filter(kind=preview.JOB).latest("pk"))


def test_a_preview_names_members_and_cost_and_opens_the_list_of_them() -> None:
    desk = signed_in()
    loses, stays = bought(8_500), bought(9_500)
    TierBenefit.objects.create(tier=Tier.objects.get(key="gold"), kind="service", text="Line", yearly_value=100)
    job = previewed(desk, spend_gold=9_000)
    page = desk.get(reverse("loyalty:tiers-preview-result", args=[job.pk])).content.decode()
    assert "1 member would lose Gold and be Silver." in page
    assert "benefits −¥100.00" in page
    query = {"from": "gold", "to": "silver"}
    listed = desk.get(reverse("loyalty:tiers-preview-members", args=[job.pk]), query).content.decode()
    assert loses.number in listed
    assert stays.number not in listed
    file = b"".join(desk.get(reverse("loyalty:tiers-preview-csv", args=[job.pk]))).decode()  # type: ignore[arg-type]
    assert file.splitlines()[1:] == [f'"{loses.number}","gold","silver"']
    assert tiers.ladder().rungs[2].thresholds["spend"] == 8_000


def test_who_rises_is_told_apart_from_who_loses_a_tier() -> None:
    desk = signed_in()
    bought(7_500)
    job = previewed(desk, spend_gold=7_000)
    assert "1 member would rise from Silver to Gold." in desk.get(job.result["links"][0]["url"]).content.decode()


def test_a_preview_keeps_what_was_typed_and_its_address_brings_it_back() -> None:
    desk = signed_in()
    bought(8_500)
    answer = desk.post(reverse("loyalty:tiers-preview"), filled_in(spend_gold=9_001), headers={"HX-Request": "true"})
    job = jobs.run_inline(Job.objects.get())
    page = desk.get(answer["HX-Replace-Url"])
    assert page.context["form"][f"spend_{Tier.objects.get(key='gold').pk}"].value() == "9001"
    assert "1 member would lose Gold and be Silver." in page.content.decode()
    back = desk.get(reverse("loyalty:tiers-preview-result", args=[job.pk])).content.decode()
    assert answer["HX-Replace-Url"] in back
    assert desk.get(reverse("loyalty:tiers")).context["form"].is_bound is False


def test_a_preview_under_way_shows_its_progress_and_the_next_one_ends_it() -> None:
    desk = signed_in()
    form = desk.post(reverse("loyalty:tiers-preview"), filled_in(spend_gold=9_000)).content.decode()
    first = Job.objects.get()
    url = reverse("loyalty:tiers-preview-result", args=[first.pk])
    assert f'hx-get="{url}"' in form
    assert "waiting for a worker" in desk.get(url).content.decode()
    assert desk.get(reverse("loyalty:tiers-preview-csv", args=[first.pk])).status_code == 404
    desk.post(reverse("loyalty:tiers-preview"), filled_in(spend_gold=9_500))
    first.refresh_from_db()
    assert first.state == Job.State.CANCELLED


def test_what_a_cancelled_preview_had_found_is_not_shown_and_goes_with_the_next_of_anybody() -> None:
    desk = signed_in()
    bought(8_500)
    job = previewed(desk, spend_gold=9_000)
    Job.objects.filter(pk=job.pk).update(state=Job.State.CANCELLED, result={})
    address = reverse("loyalty:tiers-preview-members", args=[job.pk])
    assert desk.get(address, {"from": "gold", "to": "silver"}).status_code == 404
    assert desk.get(reverse("loyalty:tiers-preview-csv", args=[job.pk])).status_code == 404
    others = previewed(signed_in(), spend_gold=9_000)
    assert set(ForeseenMove.objects.values_list("job", flat=True)) == {others.pk}


def test_an_unclear_form_starts_no_preview() -> None:
    page = signed_in().post(reverse("loyalty:tiers-preview"), filled_in(spend_gold=1)).content.decode()
    assert "Put right what is marked" in page
    assert not Job.objects.exists()


def test_the_lists_of_a_preview_make_room_for_those_of_the_next() -> None:
    desk, other = signed_in(), signed_in()
    bought(8_500)
    first, others = previewed(desk, spend_gold=9_000), previewed(other, spend_gold=9_000)
    second = previewed(desk, spend_gold=9_000)
    assert sorted(ForeseenMove.objects.values_list("job", flat=True)) == [others.pk, second.pk]
    page = desk.get(reverse("loyalty:tiers-preview-result", args=[first.pk])).content.decode()
    assert "The list of members is gone" in page
    with time_machine.travel(timezone.now() + timedelta(days=8), tick=False):
        third = previewed(signed_in(), spend_gold=9_000)
    assert set(ForeseenMove.objects.values_list("job", flat=True)) == {third.pk}


def test_the_members_of_a_preview_come_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = signed_in()
    monkeypatch.setattr("loyalty.views.tier_previews.SIZE", 2)
    losers = [bought(8_500).number for _ in range(3)]
    # The last of them comes in a chunk of their own.
    monkeypatch.setattr("loyalty.tiers.preview.CHUNK", Member.objects.latest("pk").pk)
    url = reverse("loyalty:tiers-preview-members", args=[previewed(desk, spend_gold=9_000).pk])
    query = {"from": "gold", "to": "silver"}
    first = desk.get(url, query)
    assert [number for number in losers if number in first.content.decode()] == losers[:2]
    second = desk.get(url + first.context["page"].next_query).content.decode()
    assert [number for number in losers if number in second] == losers[2:]
    assert "Back to the first" in second


def test_another_scheme_is_saved_audited_and_said_in_words() -> None:
    desk = signed_in()
    form = filled_in(
        measures=["spend", "orders"], orders_silver=3, orders_gold=9, orders_platinum=20, valid_months=12, grace_days=30
    )
    desk.post(reverse("loyalty:tiers-save"), form)
    stands = TierScheme.objects.get()
    assert (stands.measures, stands.valid_months, stands.in_force_since is not None) == (["spend", "orders"], 12, True)
    page = desk.get(reverse("loyalty:tiers")).content.decode()
    assert "reached by spend or orders in 12 months" in page
    assert "¥2,000 or 3 orders" in page
    assert AuditEntry.objects.get(action="tier-scheme.change").detail["after"]["grace_days"] == "30"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measures": ["spend", "orders"]}, "say from how much on"),
        ({"downgrade": "one_step"}, "needs months of validity or days of grace"),
        ({"measures": []}, "This field is required"),
    ],
)
def test_an_ambiguous_scheme_is_refused_beside_its_field(changes: dict[str, object], said: str) -> None:
    response = signed_in().post(reverse("loyalty:tiers-save"), filled_in(**changes))
    assert (response.status_code, said in response.content.decode()) == (422, True)
    assert scheme().measures == ["spend"]


def test_benefits_come_and_go_and_stand_beside_the_member() -> None:
    desk, gold = signed_in(), Tier.objects.get(key="gold")
    member = bought(8_500)
    added = {"tier": gold.pk, "kind": "delivery", "text": "Free delivery", "text_zh": "免费配送", "yearly_value": "60"}
    desk.post(reverse("loyalty:tier-benefit-add"), added)
    assert "Free delivery" in desk.get(reverse("loyalty:member-tier", args=[member.number])).content.decode()
    with translation.override("zh-hans"):
        assert desk.post(reverse("loyalty:tier-benefit-add"), added | {"text": ""}).status_code == 422
    desk.post(reverse("loyalty:tier-benefit-remove", args=[TierBenefit.objects.get().pk]))
    assert not TierBenefit.objects.exists()


def test_downgrades_ahead_say_who_when_and_what_would_keep_them() -> None:
    with time_machine.travel(NOW, tick=False):
        desk, user = signed_in(), make_user(Role.MARKETING_MANAGER)
        falls, stays = bought(8_500, days_ago=350), bought(8_500, days_ago=100)
        record_purchase(member_id=falls.pk, key="small", purchased_at=NOW, amount=Decimal(500))
        page = desk.get(reverse("loyalty:tiers-downgrades")).content.decode()
        assert falls.number in page
        assert stays.number not in page
        assert "¥7,500" in page
        card = desk.get(reverse("loyalty:member-tier", args=[falls.number])).content.decode()
        assert "Falls to Bronze on 16 Jun 2026" in card
        assert any("1 member is about to lose their tier." in need.text for need in needs.of(user, now=NOW))
        condition = {"all": [{"fact": "member.tier_ends_in", "op": "lte", "value": 20}]}
        assert counts.count(condition) == 1


def test_a_tier_is_given_and_taken_back_in_dialogs() -> None:
    desk, member = signed_in(), make_member()
    address = reverse("loyalty:member-tier-grant", args=[member.number])
    gold = Tier.objects.get(key="gold")
    assert "Give" in desk.get(address).content.decode()
    day = timezone.localdate() + timedelta(days=30)
    over = desk.post(address, {"tier": gold.pk, "until": "2020-01-01", "reason": "x"}).content.decode()
    assert "This day is over." in over
    done = desk.post(address, {"tier": gold.pk, "until": day.isoformat(), "reason": "a spoilt party"})
    assert "points-changed" in done.headers["HX-Trigger"]
    assert TierGrant.objects.get().granted_by is not None
    card = desk.get(reverse("loyalty:member-tier", args=[member.number])).content.decode()
    assert "a spoilt party" in card
    away = reverse("loyalty:member-tier-withdraw", args=[member.number])
    assert "Say why." in desk.post(away, {"reason": " "}).content.decode()
    desk.post(away, {"reason": "it was the wrong member"})
    assert tiers.progress(member.pk, timezone.now()).tier.key == "bronze"


def test_customer_service_sees_the_tier_and_cannot_give_one() -> None:
    desk, member = signed_in(Role.CUSTOMER_SERVICE), make_member()
    assert "Give a tier" not in desk.get(reverse("loyalty:member-tier", args=[member.number])).content.decode()
    address = reverse("loyalty:member-tier-grant", args=[member.number])
    gold = Tier.objects.get(key="gold")
    refused = desk.post(address, {"tier": gold.pk, "until": "2030-01-01", "reason": "please"})
    assert (refused.status_code, TierGrant.objects.count()) == (403, 0)
