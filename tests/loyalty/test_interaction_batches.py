"""Interactions by the thousand: the same points as one by one, a bounded number of statements, and no deadlock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from loyalty import programme
from loyalty.intake import record_interaction
from loyalty.models import Account, Entry
from members.importing import runs
from members.models import ImportRun, Interaction, Member
from tests.factories import make_member
from tests.loyalty.concurrency import at_once
from tests.loyalty.test_earning import in_force, prove
from tests.members.imports import new_run, silent, written
from tests.over_http import Till

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)
FRIEND = {"type": "fixed", "points": 200, "also": {"points": 300, "member_property": "friend"}}
DAILY = {"per": "day", "of": "member", "points": 500}


def did(member: Member, key: str, days: int = 0, **fields: Any) -> dict[str, Any]:
    at = (NOW - timedelta(days=days)).isoformat()
    return {"external_id": key, "member": member.number, "kind": "referral", "occurred_at": at} | fields


def send(*deeds: dict[str, Any]) -> dict[str, Any]:
    answer = Till().post("interactions/batch", {"interactions": list(deeds)})
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture
def _programme() -> None:
    programme.ensure_defaults()
    in_force("Referral", FRIEND, event="interaction", caps=[DAILY])


def told(*members: Member) -> list[tuple[Any, ...]]:
    fields = ("member__given_name", "seq", "kind", "points", "qualifying", "balance_after", "occurred_at")
    return list(Entry.objects.filter(member__in=members).order_by("member__given_name", "seq").values_list(*fields))


@pytest.mark.django_db
@pytest.mark.usefixtures("_programme")
def test_a_batch_gives_what_the_same_interactions_give_one_by_one() -> None:
    outcomes = []
    for is_batch in (False, True):
        one, other = make_member(given_name="A"), make_member(given_name="B")
        deeds = [
            did(one, f"{is_batch}-1", 3, properties={"friend": other.number}),
            did(one, f"{is_batch}-2", 2, properties={"friend": other.number}),
            did(one, f"{is_batch}-3", 2),
            did(other, f"{is_batch}-4", 1, properties={"friend": one.number}),
        ]
        if is_batch:
            points = [row["item"]["points"] for row in send(*deeds)["results"]]
        else:
            points = [Till().post("interactions", deed, key=str(n)).json()["points"] for n, deed in enumerate(deeds)]
        outcomes.append((points, sorted(told(one, other))))
    assert outcomes[0] == outcomes[1]
    prove()


@pytest.mark.django_db
@pytest.mark.usefixtures("_programme")
def test_each_item_of_a_batch_is_told_what_came_of_it() -> None:
    member = make_member()
    known = did(member, "known")
    assert Till().post("interactions", known).status_code == 201
    future = {"occurred_at": (datetime.now(UTC) + timedelta(days=3)).isoformat()}
    new = did(member, "new", 1)
    answer = send(
        known,
        known | {"kind": "review"},
        new,
        new,
        new | {"channel": "app"},
        did(member, "late") | future,
        did(member, "x") | {"member": "nobody"},
    )
    assert [(row["outcome"], (row["problem"] or {}).get("code")) for row in answer["results"]] == [
        ("repeated", None),
        ("refused", "differs"),
        ("created", None),
        ("repeated", None),
        ("refused", "differs"),
        ("refused", "future"),
        ("refused", "unknown-member"),
    ]
    assert [row["item"]["points"] for row in answer["results"] if row["item"]] == [200, 200, 200]
    assert Interaction.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("_programme")
def test_a_batch_of_interactions_asks_the_same_number_of_questions_however_long_it_is() -> None:
    members = [make_member() for _ in range(30)]
    asked = []
    for size in (5, 30):
        deeds = [did(member, f"{size}-{member.pk}") for member in members[:size]]
        with CaptureQueriesContext(connection) as queries:
            assert send(*deeds)["created"] == size
        asked.append(len(queries))
    assert asked[1] <= asked[0] <= 60


def import_of(path: Path) -> Callable[[], object]:
    run = new_run("interactions", path)
    return lambda: runs.perform(ImportRun.objects.get(pk=run.pk), silent)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_programme")
def test_a_file_and_single_interactions_of_the_same_keys_wait_for_each_other(tmp_path: Path) -> None:
    """The file used to write its keys and then wait for accounts, whose holders waited for its keys."""
    members = [make_member() for _ in range(60)]
    rows = "".join(f"e{n},{member.number},referral,{NOW.isoformat()}\n" for n, member in enumerate(members))
    path = written(tmp_path, f"id,person,kind,time\n{rows}")

    def one_by_one() -> None:
        for n, member in reversed(list(enumerate(members))):
            record_interaction(member_id=member.pk, key=f"e{n}", kind="referral", occurred_at=NOW)

    outcomes = at_once(import_of(path), one_by_one)
    # A key that came between the file's check and its writing makes the file say so; nothing waits for ever.
    assert set(outcomes) <= {"done", "IntegrityError", "Refused"}
    assert outcomes["done"] >= 1
    assert set(Account.objects.filter(member__in=members).values_list("balance", flat=True)) == {200}
    assert Interaction.objects.count() == len(members)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_programme")
def test_batches_of_the_same_keys_in_opposite_order_are_counted_once() -> None:
    members = [make_member() for _ in range(40)]
    others = [make_member() for _ in range(40)]
    mine = [did(member, f"e{n}") for n, member in enumerate(members)]
    theirs = [did(member, f"e{n}") for n, member in enumerate(others)]
    created: list[int] = []
    assert at_once(
        lambda: created.append(send(*mine)["created"]), lambda: created.append(send(*theirs[::-1])["created"])
    ) == {"done": 2}
    assert sum(created) == Interaction.objects.count() == len(members)
