"""Lifetime value: the published estimates, everybody valued and banded, and the band in conditions and rules."""

import csv
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analytics import clv, valuing
from analytics.models import MemberValue, ValueFit
from loyalty import programme
from loyalty.intake import record_refund
from members import conditions
from members.models import Member, Purchase
from staff import jobs
from tests.factories import make_member, make_purchase
from tests.loyalty.test_earning import buy, in_force

# The 2,357 customers of Fader, Hardie and Lee (2005): repeat purchases, weeks, and mean amounts.
CDNOW = Path(__file__).with_name("cdnow.csv")


@pytest.fixture(scope="module")
def cdnow() -> clv.Summaries:
    with CDNOW.open() as stream:
        rows = np.array([[float(cell) for cell in row] for row in list(csv.reader(stream))[1:]])
    return clv.Summaries(*rows.T)


def test_the_fit_on_cdnow_gives_the_published_estimates(cdnow: clv.Summaries) -> None:
    found = clv.Purchasing.fitted(cdnow)
    assert found.r == pytest.approx(0.243, abs=0.001)
    assert found.alpha == pytest.approx(4.414, abs=0.01)
    assert found.a == pytest.approx(0.793, abs=0.005)
    assert found.b == pytest.approx(2.426, abs=0.02)
    assert found.log_likelihood(cdnow) == pytest.approx(-9582.4, abs=0.1)


def test_the_amounts_of_cdnow_give_the_published_estimates(cdnow: clv.Summaries) -> None:
    found = clv.Spending.fitted(cdnow)
    assert (found.p, found.q, found.v) == pytest.approx((6.25, 3.74, 15.44), rel=0.01)


def test_a_customer_of_the_paper_is_expected_to_buy_as_it_says() -> None:
    model = clv.Purchasing(0.243, 4.414, 0.793, 2.426)
    one = clv.Summaries(*(np.array([value]) for value in (2.0, 30.43, 38.86, 22.35)))
    assert model.expected(one, 39)[0] == pytest.approx(1.226, abs=0.001)


def test_bands_take_their_share_of_members() -> None:
    found = clv.bands(np.arange(100.0))
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
    assert len(asked) <= 9
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
