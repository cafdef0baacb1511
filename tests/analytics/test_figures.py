"""One small programme, counted by hand: page, API, CSV and the list behind each figure must say the same."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analytics import collect, drilldown
from analytics.metrics import METRICS, ask
from analytics.readings import Reading
from loyalty import ledger, liability
from loyalty.models import Entry
from members.models import Member
from staff import api_keys
from staff.permissions import Role, Scope
from tests.analytics.programme import (
    at,
    expose,
    make_campaign,
    make_reward,
    make_tiers,
    move_tier,
    post,
    redeem,
    take_back,
)
from tests.factories import make_member, make_purchase, make_response, make_user

pytestmark = pytest.mark.django_db

NOW = at(2026, 11, 22, 12, 0)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def programme() -> dict[str, Member]:
    """Four members. Ann and Bo first bought in January, Cy in February; Di never.

    Ann buys in Jan, Feb, Apr and Nov; Bo in Jan only; Cy in Feb and Mar. Points: 100 each purchase; Ann redeems
    120 in Feb and 60 in Apr (taken back), Cy 60 in Mar. Ann is silver from 10 February on.
    """
    tiers = make_tiers()
    coffee, bag = make_reward(60, "Coffee"), make_reward(120, "Bag")
    people = {name: make_member(given_name=name, joined_at=at(2026, 1, 2)) for name in ("Ann", "Bo")}
    people |= {name: make_member(given_name=name, joined_at=at(2026, 2, 2)) for name in ("Cy", "Di")}
    for name, month in [("Ann", 1), ("Ann", 2), ("Ann", 4), ("Ann", 11), ("Bo", 1), ("Cy", 2), ("Cy", 3)]:
        make_purchase(people[name], amount=100, purchased_at=at(2026, month, 5))
        post(people[name], 100, at(2026, month, 5))
    redeem(people["Ann"], bag, at(2026, 2, 6))
    take_back(redeem(people["Ann"], coffee, at(2026, 4, 6)), at(2026, 4, 7))
    redeem(people["Cy"], coffee, at(2026, 3, 6))
    move_tier(people["Ann"], tiers["silver"], at(2026, 2, 10), tiers["bronze"])
    for score, month in [(10, 10), (9, 10), (8, 10), (6, 10), (0, 11)]:
        make_response(people["Ann"], score=score, answered_at=at(2026, month, 5), comment=f"said {score}")
    make_response(score=10, answered_at=None)
    make_response(score=None, answered_at=at(2026, 11, 5))
    collect.collect()
    return people


def compute(key: str, **parameters: str) -> tuple[Reading, dict[str, Reading]]:
    """The total, and the rows by their first key."""
    _query, figures = ask(METRICS[key], parameters)
    return figures.total, {"/".join(row.keys[name] for name in row.keys if name in NAMES): row for row in figures.rows}


NAMES = ("cohort", "month", "age", "tier", "reward", "score", "survey", "arm")


def parts(reading: Reading) -> tuple[float | None, float | None]:
    return reading.numerator, reading.denominator


def test_retention_is_counted_by_cohort_and_month(programme):
    _total, cells = compute("retention")
    bought = {key[:15]: parts(cell) for key, cell in cells.items()}
    assert bought["2026-01/2026-01"] == (2, 2)
    assert bought["2026-01/2026-02"] == (1, 2)
    assert bought["2026-01/2026-03"] == (0, 2)
    assert bought["2026-01/2026-11"] == (1, 2)
    assert bought["2026-02/2026-03"] == (1, 1)
    assert len(bought) == 11 + 10
    _total, cells = compute("retention", kind="enrolment")
    # Di enrolled in February and never bought: she counts below the line.
    assert parts(cells["2026-02/2026-02/0"]) == (1, 2)
    total, pooled = compute("retention", by="age")
    assert parts(pooled["1"]) == parts(total) == (2, 3)
    # Month 10 of January's cohort is this month: it is not over and is left out.
    assert "10" not in pooled


def test_the_redemption_rate_leaves_out_what_was_taken_back(programme):
    total, months = compute("redemption-rate")
    assert parts(total) == (180, 700)
    assert {key: parts(row) for key, row in months.items() if row.denominator} == {
        "2026-01": (0, 200), "2026-02": (120, 200), "2026-03": (60, 100), "2026-04": (0, 100), "2026-11": (0, 100),
    }  # fmt: skip
    assert months["2026-02"].value == pytest.approx(60)
    assert months["2026-05"].value is None
    _total, tiers = compute("redemption-rate", by="tier")
    assert parts(tiers["bronze"]) == (60, 400)
    assert parts(tiers["silver"]) == (120, 300)
    only, _months = compute("redemption-rate", tier="silver")
    assert parts(only) == (120, 300)
    _total, rewards = compute("redemption-rate", by="reward")
    assert sorted(parts(row) for row in rewards.values()) == [(60, 700), (120, 700)]


def test_redeeming_members_are_a_share_of_those_active_in_the_month(programme):
    total, months = compute("redeeming-members")
    assert {key: parts(row) for key, row in months.items() if row.denominator} == {
        "2026-01": (0, 2), "2026-02": (1, 2), "2026-03": (1, 1), "2026-04": (0, 1), "2026-11": (0, 1),
    }  # fmt: skip
    assert parts(total) == (2, 7)


def test_nps_is_promoters_minus_detractors(programme):
    total, months = compute("nps")
    assert (months["2026-10"].value, months["2026-11"].value) == (25, -100)
    assert (total.value, total.denominator) == (0, 5)
    everything, _months = compute("nps", period="all")
    assert (everything.value, everything.denominator) == (pytest.approx(100 / 6), 6)
    _total, scores = compute("nps", by="score")
    assert {key: row.numerator for key, row in scores.items() if row.numerator} == {
        "0": 1, "6": 1, "8": 1, "9": 1, "10": 1,
    }  # fmt: skip


def test_states_are_known_for_today_and_for_the_end_of_every_month(programme):
    total, months = compute("active-members")
    assert total.value == 1
    assert [months[f"2026-{month:02d}"].value for month in (1, 2, 3, 4, 5, 7, 8)] == [2, 3, 3, 2, 2, 0, 0]
    _total, tiers = compute("members-by-tier")
    assert {key: (row.value, row.parts["before"]) for key, row in tiers.items()} == {
        "bronze": (3, 0), "silver": (1, 0), "gold": (0, 0),
    }  # fmt: skip
    total, months = compute("points-liability")
    assert total.numerator == sum(Member.objects.values_list("account__balance", flat=True)[:3]) == 520
    assert total.value == pytest.approx(5.20)
    assert months["2026-02"].numerator == 280


def test_the_liability_is_that_of_the_ledger_page_also_where_members_owe(programme):
    award = Entry.objects.filter(member=programme["Ann"], kind="earn").latest("pk")
    ledger.claw_back(
        award, points=100, qualifying=0, key="c", policy=ledger.Policy.DEBT, occurred_at=at(2026, 11, 6), explanation={}
    )
    spent = ledger.available(programme["Ann"].pk, at(2026, 11, 7))
    ledger.spend(member_id=programme["Ann"].pk, points=spent, key="s", occurred_at=at(2026, 11, 7), explanation={})
    award = Entry.objects.filter(member=programme["Ann"], kind="earn").earliest("pk")
    ledger.claw_back(
        award, points=70, qualifying=0, key="d", policy=ledger.Policy.DEBT, occurred_at=at(2026, 11, 8), explanation={}
    )
    assert ledger.debt_of(programme["Ann"].pk) == 70
    # Anew: to a second look within one transaction its own rows may seem to be of the future.
    collect.collect(rebuild=True)
    total, _months = compute("points-liability")
    assert total.numerator == liability.liability(timezone.now()).totals.outstanding == 240


def test_twelve_month_retention_needs_two_years():
    loyal, lost, new = make_member(), make_member(), make_member()
    for member, year in [(loyal, 2025), (loyal, 2026), (lost, 2025), (new, 2026)]:
        make_purchase(member, purchased_at=at(year, 6, 1))
    collect.collect()
    total, months = compute("retention-12m")
    assert parts(total) == (1, 2)
    assert total.value == 50
    assert parts(months["2026-05"]) == (0, 0)


def test_every_figure_opens_exactly_the_members_that_it_counts(programme):
    campaign = make_campaign({"control": 50, "A": 50})
    expose(campaign, programme["Ann"], "A", at(2026, 11, 1))
    expose(campaign, programme["Bo"], "control", at(2026, 11, 1))
    collect.collect()
    opened = 0
    for metric in METRICS.values():
        for by in metric.cuts:
            _query, figures = ask(metric, {"by": by, **({"campaign": str(campaign.pk)} if by == "arm" else {})})
            for row in [figures.total, *figures.rows]:
                for part in metric.opens:
                    url = drilldown.url(metric.key, row, part)
                    if not url or metric.opens[part] == "answers":
                        continue
                    keys = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
                    _members, total = drilldown.members(metric, part, keys).size()
                    counted = row.numerator if part == "numerator" else row.denominator
                    assert total == pytest.approx(counted), (metric.key, by, part, dict(row.keys))
                    opened += 1
    assert opened > 60


def signed_in(role: str = Role.MARKETING_MANAGER) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def rows_of(response) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode().removeprefix("\ufeff")
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(("key", "by"), [("redemption-rate", "month"), ("nps", "month"), ("retention", "cohort")])
def test_page_api_and_file_say_the_same(programme, key, by):
    _key, secret = api_keys.create(name="Board", scopes=[Scope.KPIS_READ], user=None)
    path = f"/api/v1/kpis/{key}?by={by}&from=2026-01&to=2026-11"
    answer = Client().get(path, headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    told = answer.json()
    assert told["as_of"]
    assert told["time_zone"] == "Asia/Shanghai"
    lines = rows_of(signed_in().get(f"/analytics/csv/{key}/?by={by}&from=2026-01&to=2026-11"))
    assert [row["value"] for row in told["rows"]] == [float(line[key]) if line[key] else None for line in lines]
    assert [row["numerator"] for row in told["rows"]] == [float(line["numerator"]) for line in lines]
    page = signed_in().get(f"/analytics/{told['key'].split('-')[0]}/?from=2026-01&to=2026-11").content.decode()
    shown = [row for row in told["rows"] if row["numerator"]]
    unit = (lambda value: f"{value:.1f}%") if told["unit"] == "percent" else (lambda value: f"{value:+.1f}")
    for row in shown:
        assert unit(row["value"]).replace("-", "−") in page


def test_the_api_refuses_what_it_cannot_answer_with_a_problem_document(programme):
    _key, secret = api_keys.create(name="Board", scopes=[Scope.KPIS_READ], user=None)
    headers = {"Authorization": f"Bearer {secret}"}
    for path, field in [
        ("nps?from=november", "from"),
        ("nps?from=2026-11&to=2026-01", "from"),
        ("nps?by=tier", "by"),
        ("retention?kind=horoscope", "kind"),
        ("redemption-rate?by=reward&tier=gold", "tier"),
        ("campaign-conversion", "campaign"),
        ("campaign-conversion?campaign=999", "campaign"),
    ]:
        answer = Client().get(f"/api/v1/kpis/{path}", headers=headers)
        assert answer.status_code == 400, path
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["errors"][0]["field"] == field
    assert Client().get("/api/v1/kpis/horoscope", headers=headers).status_code == 404
    listed = Client().get("/api/v1/kpis/", headers=headers).json()["results"]
    assert [metric["key"] for metric in listed] == list(METRICS)
    assert signed_in().get("/analytics/nps/?from=november").status_code == 400


PAGES = ["overview/", "retention/", "redemption/", "nps/", "nps/answers/", "ab/", "metrics/"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_stand_on_an_empty_programme(page):
    answer = signed_in().get(f"/analytics/{page}")
    assert answer.status_code == 200
    if page != "metrics/" and "answers" not in page:
        assert "Nothing has been collected yet" in answer.content.decode()


# Raw tables: a KPI page that reads one of them would slow down with every member.
RAW = ("members_purchase", "loyalty_entry", "members_exposure", "campaigns_campaignevent", "loyalty_lot")


@pytest.mark.parametrize(("page", "most"), [("overview/", 45), ("retention/", 25), ("redemption/", 35), ("ab/", 15)])
def test_pages_read_rollups_only_and_few_of_them(programme, page, most):
    client = signed_in()
    client.get(f"/analytics/{page}")
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/analytics/{page}").status_code == 200
    statements = [query["sql"] for query in queries.captured_queries]
    assert len(statements) <= most
    facts = ("analytics_membermonth", "analytics_memberspan", "analytics_armmember")
    for table in (*RAW, *facts):
        assert not [statement for statement in statements if table in statement], table


def test_a_stale_collection_is_said_above_the_charts(programme):
    client = signed_in()
    assert "0 s ago" in client.get("/analytics/overview/").content.decode()
    with time_machine.travel(at(2026, 11, 22, 12, 9), tick=False):
        page = client.get("/analytics/overview/").content.decode()
    assert "These figures are 9 min old" in page
    assert page.index("These figures are") < page.index("data-chart")


def test_an_executive_sees_who_is_counted_by_number_only(programme):
    url = "/analytics/members/?metric=redemption-rate&part=numerator&month=2026-02"
    seen = signed_in(Role.EXECUTIVE).get(url).content.decode()
    assert programme["Ann"].number in seen
    assert "Ann" not in seen
    assert "120 points" in seen
    known = signed_in(Role.MARKETING_MANAGER).get(url).content.decode()
    assert "Ann" in known
    listed = rows_of(signed_in().get(url.replace("/members/?", "/members/csv/?")))
    assert listed == [{"member": programme["Ann"].number, "points": "120"}]


def test_the_file_of_a_list_has_heads_in_the_language_of_its_reader(programme):
    reader = Client()
    reader.force_login(make_user(Role.MARKETING_MANAGER, language="zh-hans"))
    url = "/analytics/members/csv/?metric=redemption-rate&part=numerator&month=2026-02"
    assert rows_of(reader.get(url)) == [{"会员": programme["Ann"].number, "积分": "120"}]
    answer = rows_of(reader.get("/analytics/nps/answers/csv/?period=all"))[0]
    assert list(answer) == ["时间", "问卷", "评分", "评语", "会员"]


def test_answers_are_searched_and_belong_to_their_figure(programme):
    client = signed_in()
    page = client.get("/analytics/nps/answers/?group=detractors").content.decode()
    assert "said 6" in page
    assert "said 0" in page
    assert "said 9" not in page
    page = client.get("/analytics/nps/answers/?q=said+8").content.decode()
    assert "said 8" in page
    assert "said 9" not in page
    assert len(rows_of(client.get("/analytics/nps/answers/csv/?month=2026-10"))) == 4
    assert len(rows_of(client.get("/analytics/nps/answers/csv/?period=all"))) == 6


@pytest.mark.skipif(not DATA.exists(), reason="the real data is not here: ../shared/data")
def test_the_seat_reviews_come_to_their_published_score():
    call_command(
        "import",
        "survey-responses",
        str(DATA / "seat_reviews" / "responses.csv"),
        "--map=response_id=external_id",
        "--map=date=answered_at",
        "--map=content=comment",
        "--translate=date:1970-01-01=",
    )
    collect.collect()
    total, _months = compute("nps")
    assert (round(total.value, 2), total.denominator) == (-56.80, 1257)
    assert dict(total.parts) == {"promoters": 151, "passives": 241, "detractors": 865}
    page = signed_in().get("/analytics/nps/").content.decode()
    assert "−56.8" in page
    assert "1,257 answers" in page
