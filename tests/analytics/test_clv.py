"""Lifetime value: the models, everybody valued and banded, and the band in conditions and rules."""

import csv
from datetime import date, timedelta

import numpy as np
import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from scipy.integrate import quad
from scipy.stats import beta, gamma

from analytics import clv, drilldown, valuing
from analytics.metrics import METRICS, ask
from analytics.models import MemberValue, ValueFit
from loyalty import programme
from loyalty.intake import record_refund
from loyalty.models import Tier, TierStanding
from members import conditions
from members.models import Member, Purchase
from staff import figures, jobs
from staff.models import Job
from staff.permissions import Role
from tests.factories import make_member, make_purchase, make_user
from tests.loyalty.test_earning import buy, in_force

# What Fader, Hardie and Lee (2005) and Fader and Hardie (2013) found in the shop of their examples.
PURCHASING = clv.Purchasing(0.243, 4.414, 0.793, 2.426)
SPENDING = clv.Spending(6.25, 3.74, 15.44)
WEEKS = 39


@pytest.fixture(scope="module")
def simulated() -> tuple[clv.Summaries, float]:
    """Buyers who do as the two models say, and how often they really buy in the weeks after."""
    chance, size = np.random.default_rng(1), 20_000
    rates = chance.gamma(PURCHASING.r, 1 / PURCHASING.alpha, size)
    leaving = chance.beta(PURCHASING.a, PURCHASING.b, size)
    age, frequency, recency, later = chance.uniform(27, 39, size), np.zeros(size), np.zeros(size), 0
    at, stays = np.zeros(size), np.ones(size, dtype=bool)
    while stays.any():
        at += chance.exponential(1 / np.maximum(rates, 1e-300))
        buys = stays & (at <= age)
        frequency += buys
        recency[buys] = at[buys]
        later += int((stays & ~buys & (at <= age + WEEKS)).sum())
        stays &= (at <= age + WEEKS) & (chance.random(size) >= leaving)
    again = np.maximum(frequency, 1)
    scale = chance.gamma(SPENDING.q, 1 / SPENDING.v, size)
    mean = np.where(frequency > 0, chance.gamma(SPENDING.p * again) / (scale * again), 0)
    return clv.Summaries(frequency, recency, age, mean), later


def test_the_fits_find_what_buyers_were_simulated_by(simulated: tuple[clv.Summaries, float]) -> None:
    buyers, later = simulated
    found, spending = clv.Purchasing.fitted(buyers), clv.Spending.fitted(buyers)
    assert (found.r, found.alpha) == pytest.approx((PURCHASING.r, PURCHASING.alpha), rel=0.05)
    assert found.a / found.b == pytest.approx(PURCHASING.a / PURCHASING.b, rel=0.1)
    assert found.log_likelihood(buyers) >= PURCHASING.log_likelihood(buyers)
    assert (spending.p, spending.q, spending.v) == pytest.approx((SPENDING.p, SPENDING.q, SPENDING.v), rel=0.1)
    assert found.expected(buyers, WEEKS).sum() == pytest.approx(later, rel=0.02)


@pytest.mark.parametrize(("x", "last", "age"), [(0, 0.0, 38.86), (2, 30.43, 38.86), (7, 29.43, 38.86)])
def test_the_likelihood_is_that_of_a_buyer_over_all_rates_and_chances_to_leave(x: int, last: float, age: float) -> None:
    def buying(until: float) -> float:
        density = gamma(PURCHASING.r, scale=1 / PURCHASING.alpha).pdf
        return float(quad(lambda rate: rate**x * np.exp(-rate * until) * density(rate), 0, np.inf, limit=200)[0])

    chance = beta(PURCHASING.a, PURCHASING.b).pdf
    whole = quad(lambda p: (1 - p) ** x * chance(p), 0, 1)[0] * buying(age)
    if x:
        whole += quad(lambda p: p * (1 - p) ** (x - 1) * chance(p), 0, 1)[0] * buying(last)
    one = clv.Summaries(*(np.array([float(value)]) for value in (x, last, age, 1)))
    assert PURCHASING.log_likelihood(one) == pytest.approx(np.log(whole), abs=1e-4)


def test_a_customer_of_the_paper_is_expected_to_buy_as_it_says() -> None:
    one = clv.Summaries(*(np.array([value]) for value in (2.0, 30.43, 38.86, 22.35)))
    assert PURCHASING.expected(one, WEEKS)[0] == pytest.approx(1.226, abs=0.001)


def test_bands_take_their_share_of_members() -> None:
    found = clv.bands(np.arange(100.0)).tolist()
    assert [found.count(name) for name, _end in clv.BANDS] == [10, 20, 30, 40]
    assert (found[99], found[0]) == ("top", "low")


def test_too_few_buyers_are_not_fitted() -> None:
    nobody = clv.Summaries(*(np.zeros(10) for _part in range(4)))
    with pytest.raises(clv.TooFew):
        clv.fit(nobody)


@pytest.fixture
def shop(db: None) -> list[Member]:
    """Some who bought once, some who come again each week, and one whose purchase was given back."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH made AS (
                INSERT INTO members_member (number, given_name, family_name, email, phone, gender, joined_at, status,
                    language, time_zone, attributes, created_at, updated_at)
                SELECT 'V' || i, '', '', '', '', '', now(), 'active', '', '', '{}', now(), now()
                FROM generate_series(1, 300) i RETURNING id, substr(number, 2)::int AS i
            )
            INSERT INTO members_purchase (member_id, key, external_id, purchased_at, amount, currency, rate, value,
                channel, store, category, created_at)
            SELECT id, 'v' || i || ':' || n, '',
                %s::timestamptz - make_interval(days => 200 + i %% 30 - n * (3 + i %% 5)),
                20 + i %% 50 + n, 'CNY', 1, 20 + i %% 50 + n, '', '', '', now()
            FROM made, generate_series(0, CASE WHEN i %% 3 = 0 THEN 1 + i %% 11 ELSE 0 END) n
            """,
            [now],
        )
    return list(Member.objects.order_by("pk"))


def test_everybody_who_bought_is_valued_net_of_refunds_in_one_pass(shop: list[Member]) -> None:
    programme.ensure_defaults()
    never = make_member()
    returned = make_purchase(make_member())
    record_refund(key="back", purchase_key=returned.key)
    with CaptureQueriesContext(connection) as asked:
        fit = valuing.value_members(timezone.now())
    assert len(asked) <= 12
    assert fit.members == len(shop) == MemberValue.objects.count()
    assert not MemberValue.objects.filter(member_id__in=[never.pk, returned.member_id]).exists()
    assert MemberValue.objects.filter(band="top").count() == 30
    assert min(MemberValue.objects.filter(band="top").values_list("value", flat=True)) > 0
    valuing.value_members(timezone.now() + timedelta(days=30))
    Purchase.objects.filter(member=shop[0]).delete()
    valuing.value_members(timezone.now())
    assert not MemberValue.objects.filter(member=shop[0]).exists()


def test_the_band_is_asked_by_audiences_and_sets_the_factor_of_a_rule(shop: list[Member]) -> None:
    valuing.value_members(timezone.now())
    top = MemberValue.objects.filter(band="top")
    tree = {"fact": "member.clv_band", "op": "in", "value": ["top"]}
    assert conditions.count(tree) == 30
    assert conditions.count({"fact": "member.clv_band", "op": "not_in", "value": ["top"]}) == 270
    assert conditions.sentence(tree) == "Members who are in the value band top (the 10% worth most)."
    programme.ensure_defaults()
    per_half = {"type": "per_amount", "points": "20", "per": "1"}
    factors = {"type": "coefficient", "fact": "member.clv_band", "factors": {"top": "3"}, "default": "1"}
    in_force("By value", per_half, factors)
    newcomer = make_member()
    assert buy(Member.objects.get(pk=top[0].member_id), "0.50", "a", timezone.now()) == 30
    assert buy(newcomer, "0.50", "b", timezone.now()) == 10


@pytest.mark.django_db
def test_the_job_says_so_where_there_are_too_few() -> None:
    job = jobs.create(valuing.JOB, title="Value", payload={}, user=None)
    assert "Too few" in jobs.run_inline(job).result["summary"]
    assert not ValueFit.objects.exists()


def signed_in(role: str = Role.MARKETING_MANAGER) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def test_the_page_says_what_members_will_spend_and_opens_the_very_members(shop: list[Member]) -> None:
    programme.ensure_defaults()
    gold = Tier.objects.get(key="gold")
    TierStanding.objects.create(member=shop[2], tier=gold, since=timezone.now(), evaluated_at=timezone.now())
    fit = valuing.value_members(timezone.now())
    TierStanding.objects.all().delete()  # tiers are those at the valuation
    by_band = ask(METRICS["lifetime-value"], {})[1]
    by_tier = ask(METRICS["lifetime-value"], {"by": "tier"})[1]
    assert by_band.total == by_tier.total
    assert by_band.total.numerator == pytest.approx(fit.expected, abs=0.01)
    assert [row.denominator for row in by_band.rows] == [30, 60, 90, 120]
    assert {row.keys["tier"]: row.denominator for row in by_tier.rows} == {"bronze": 299, "gold": 1}
    for row in (by_band.total, *by_band.rows, *by_tier.rows):
        for part, told in (("numerator", row.numerator), ("denominator", row.denominator)):
            total = drilldown.members(METRICS["lifetime-value"], part, row.keys).size()[1]
            assert total == pytest.approx(told)
    desk = signed_in(Role.EXECUTIVE)
    desk.get("/analytics/value/")
    with CaptureQueriesContext(connection) as asked:
        page = desk.get("/analytics/value/").content.decode()
    assert len(asked) <= 20
    assert figures.money(by_band.total.value or 0) in page
    assert figures.percent((by_band.rows[0].parts["value_share"] or 0) / 100) in page
    url = drilldown.url("lifetime-value", by_band.rows[0])
    assert "Top 10%" in desk.get(url).content.decode()
    assert "Recalculate now" not in page
    spoken = desk.get("/analytics/csv/lifetime-value/?by=tier")
    lines = list(csv.DictReader(b"".join(spoken).decode().splitlines()))  # type: ignore[arg-type]
    assert [float(line["numerator"]) for line in lines] == [row.numerator for row in by_tier.rows]


def test_the_forecast_is_held_against_weeks_that_it_did_not_see(shop: list[Member]) -> None:
    now = timezone.now()
    cut = timezone.localtime(now - valuing.HOLDOUT, timezone.get_default_timezone()).date()
    fit = valuing.value_members(now)
    days: dict[int, set[date]] = {}
    for purchase in Purchase.objects.all():
        at = timezone.localtime(purchase.purchased_at, timezone.get_default_timezone()).date()
        days.setdefault(purchase.member_id, set()).add(at)
    known = {pk: (sum(day <= cut for day in found), sum(day > cut for day in found)) for pk, found in days.items()}
    for group, (_name, least, most) in zip(fit.holdout["groups"], valuing.BOUGHT_BEFORE, strict=True):
        some = [after for before, after in known.values() if least <= before <= most]
        assert (group["members"], group["bought"]) == (len(some), sum(some))
    total = ask(METRICS["value-forecast"], {})[1].total
    assert total.denominator is not None
    assert total.denominator > 0
    Purchase.objects.filter(purchased_at__gt=now - valuing.HOLDOUT).delete()
    assert valuing.value_members(now).holdout["groups"][0]["foretold"] == fit.holdout["groups"][0]["foretold"]


def test_a_shop_that_just_opened_has_values_and_no_forecast_yet(shop: list[Member]) -> None:
    Purchase.objects.update(purchased_at=F("purchased_at") + timedelta(days=140))
    fit = valuing.value_members(timezone.now())
    assert fit.holdout == {}
    assert "Too little history" in signed_in().get("/analytics/value/").content.decode()


@pytest.mark.django_db
def test_before_the_first_valuation_the_page_says_what_it_takes_and_starts_one() -> None:
    desk = signed_in()
    assert "Nobody is valued yet" in desk.get("/analytics/value/").content.decode()
    desk.post("/analytics/value/refresh/")
    desk.post("/analytics/value/refresh/")
    job = Job.objects.get(kind=valuing.JOB)
    assert f'id="job-{job.pk}"' in desk.get("/analytics/value/").content.decode()
    assert "Members are being valued now." in signed_in(Role.EXECUTIVE).get("/analytics/value/").content.decode()


def test_a_valuation_that_two_nights_missed_is_said_above_the_figures(shop: list[Member]) -> None:
    valuing.value_members(timezone.now() - timedelta(days=3))
    page = signed_in().get("/analytics/value/").content.decode()
    assert "members were not valued since" in page
