"""Going round the ledger with plain SQL: the database itself refuses."""

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from loyalty import ledger
from loyalty.models import Entry
from loyalty.policies import settings_now
from members.models import Member
from tests.factories import make_member, make_purchase

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def member() -> Member:
    """A member with 100 points in one lot, 30 of them spent; a second lot of 50."""
    member = make_member()
    for points, key in ((100, "one"), (50, "two")):
        ledger.award(member_id=member.pk, points=points, key=key, occurred_at=NOW, explanation={})
    ledger.spend(member_id=member.pk, points=30, key="spent", occurred_at=NOW, explanation={})
    run()
    return member


def run(*statements: str) -> None:
    """Run statements as one transaction, up to and including its checks at commit."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.mark.parametrize("table", ["loyalty_entry", "loyalty_draw", "loyalty_lot", "loyalty_account"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "DELETE FROM {} WHERE false"])
def test_nothing_of_the_ledger_is_removed(member: Member, table: str, statement: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        run(statement.format(table))


@pytest.mark.parametrize("column", ["points = 1", "explanation = '{}'", "kind = 'adjust'", "purchase_id = NULL"])
def test_an_entry_is_never_changed(member: Member, column: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        run(f"UPDATE loyalty_entry SET {column}")


def test_a_draw_is_never_changed(member: Member) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        run("UPDATE loyalty_draw SET points = points + 1")


@pytest.mark.parametrize(
    ("reason", "statements"),
    [
        ("balance 121", ["UPDATE loyalty_account SET balance = balance + 1"]),
        ("version 4", ["UPDATE loyalty_account SET version = version + 1"]),
        ("lots 119", ["UPDATE loyalty_lot SET remaining = remaining - 1 WHERE remaining = 50"]),
        (
            "remaining",
            [
                "UPDATE loyalty_lot SET remaining = remaining - 1 WHERE points = 50",
                "UPDATE loyalty_lot SET remaining = remaining + 1 WHERE points = 100",
            ],
        ),
        ("append-only", ["UPDATE loyalty_lot SET points = points + 1, remaining = remaining + 1"]),
        ("negative_by_debt_only", ["UPDATE loyalty_account SET balance = -1"]),
        ("remaining_range", ["UPDATE loyalty_lot SET remaining = -1"]),
        ("remaining_range", ["UPDATE loyalty_lot SET remaining = points + 1"]),
    ],
)
def test_balance_ledger_and_lots_only_move_together(member: Member, reason: str, statements: list[str]) -> None:
    with pytest.raises(IntegrityError, match=reason):
        run(*statements)


ENTRY = """INSERT INTO loyalty_entry (member_id, seq, kind, points, balance_after, occurred_at, created_at,
    idempotency_key, input_hash, explanation, purchase_id, reverses_id)
    VALUES ({member}, {seq}, '{kind}', {points}, {after}, now(), now(), '{key}', '', '{{}}', {purchase}, {reverses})"""


def entry(member: Member, **fields: object) -> str:
    values = {"seq": 4, "kind": "earn", "points": 10, "after": 130, "key": "raw", "purchase": "NULL"}
    return ENTRY.format(**({"member": member.pk, "reverses": "NULL"} | values | fields))


MOVE = "UPDATE loyalty_account SET balance = 130, version = 4"
LOT = """INSERT INTO loyalty_lot (entry_id, member_id, points, remaining, activates_at)
    SELECT id, member_id, {points}, {remaining}, now() FROM loyalty_entry WHERE idempotency_key = '{key}'"""


def test_an_entry_alone_is_refused_at_commit_and_with_its_account_and_lot_accepted(member: Member) -> None:
    whole = [entry(member), MOVE, LOT.format(points=10, remaining=10, key="raw")]
    for missing in whole[1:]:
        with pytest.raises(IntegrityError):
            run(*(statement for statement in whole if statement != missing))
    run(*whole)


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("does not follow", {"after": 131}),
        ("does not follow", {"seq": 5}),
        ("seq_once", {"seq": 3}),
        ("moves_something", {"points": 0, "after": 120}),
        ("negative_by_debt_only", {"points": -121, "after": -1}),
        ("idempotency_key", {"key": "one"}),
        ("reverse_names_entry", {"kind": "reverse"}),
    ],
)
def test_an_entry_must_follow_the_one_before_it(member: Member, reason: str, fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match=reason):
        run(entry(member, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "gift"},
        {"kind": "earn", "points": -10, "after": 110},
        {"kind": "redeem"},
        {"kind": "expire"},
    ],
)
def test_an_entry_has_a_known_kind_and_goes_the_way_of_its_kind(member: Member, fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="loyalty_entry_sign_of_kind"):
        run(entry(member, **fields))


@pytest.mark.parametrize("column", ["expires_at = now()", "expires_at = NULL", "activates_at = now()"])
def test_when_points_can_be_used_never_changes(member: Member, column: str) -> None:
    ledger.award(member_id=member.pk, points=5, key="till", occurred_at=NOW, expires_at=NOW, explanation={})
    with pytest.raises(IntegrityError, match="append-only"):
        run(f"UPDATE loyalty_lot SET {column}")


def test_a_purchase_that_earned_keeps_its_value_day_and_member_until_its_points_are_taken_back() -> None:
    purchase = make_purchase()
    other = make_member()
    earned = ledger.award(
        member_id=purchase.member_id, points=5, key="p", occurred_at=NOW, explanation={}, purchase=purchase
    )
    changes = ["value = value + 1", "purchased_at = purchased_at - interval '1 day'", f"member_id = {other.pk}"]
    for change in changes:
        with pytest.raises(IntegrityError, match="gave points"):
            run(f"UPDATE members_purchase SET {change}")
    run("UPDATE members_purchase SET channel = 'shop', value = value")
    ledger.reverse(earned, explanation={}, occurred_at=NOW)
    run("UPDATE members_purchase SET value = value + 1")


def test_a_redemption_is_in_a_known_state(member: Member) -> None:
    with pytest.raises(IntegrityError, match="loyalty_redemption_state_known"):
        run(
            "INSERT INTO loyalty_reward (name, name_zh, points, cost, active, created_at)"
            " VALUES ('Cup', '', 5, 0, true, now())",
            "INSERT INTO loyalty_redemption (member_id, reward_id, points, state, idempotency_key, redeemed_at)"
            f" SELECT {member.pk}, id, 5, 'eaten', 'k', now() FROM loyalty_reward",
        )


def test_the_first_entry_has_the_number_one(member: Member) -> None:
    with pytest.raises(IntegrityError, match="does not follow"):
        run(entry(make_member(), seq=2, after=10))


def test_an_entry_is_reversed_once_and_by_its_opposite(member: Member) -> None:
    spent = Entry.objects.get(kind="redeem")
    with pytest.raises(IntegrityError, match="does not match"):
        run(entry(member, kind="reverse", reverses=spent.pk, points=31, after=151))
    with pytest.raises(IntegrityError, match="does not match"):
        run(entry(make_member(), kind="reverse", reverses=spent.pk, points=30, seq=1, after=30))
    ledger.reverse(spent, explanation={})
    with pytest.raises(IntegrityError, match="reverses_id"):
        run(entry(member, kind="reverse", reverses=spent.pk, points=30, seq=5, after=180))


def test_an_entry_names_a_purchase_of_its_member(member: Member) -> None:
    for purchase in (make_purchase().pk, 987654321):
        with pytest.raises(IntegrityError, match="not theirs"):
            run(entry(member, purchase=purchase))


def test_a_lot_is_exactly_what_its_entry_brought(member: Member) -> None:
    for points, remaining in ((9, 9), (10, 9), (11, 11)):
        with pytest.raises(IntegrityError, match="not what entry"):
            run(entry(member), MOVE, LOT.format(points=points, remaining=remaining, key="raw"))
    with pytest.raises(IntegrityError):
        run(LOT.format(points=30, remaining=30, key="spent"))


def test_a_draw_needs_an_entry_and_a_lot_of_the_same_member(member: Member) -> None:
    other = make_member()
    ledger.award(member_id=other.pk, points=7, key="other", occurred_at=NOW, explanation={})
    draw = """INSERT INTO loyalty_draw (entry_id, lot_id, points)
        SELECT entry.id, lot.id, 7 FROM loyalty_entry entry, loyalty_lot lot WHERE entry.kind = 'redeem' AND {}"""
    with pytest.raises(IntegrityError, match="of the same member"):
        run(draw.format("lot.points = 7"))
    # Seven points change lots behind the entries' backs: every sum still holds, but not entry by entry.
    with pytest.raises(IntegrityError, match=r"draws (37|-7)"):
        run(
            draw.format("lot.points = 50"),
            "UPDATE loyalty_lot SET remaining = remaining - 7 WHERE points = 50",
            """INSERT INTO loyalty_draw (entry_id, lot_id, points) SELECT entry.id, lot.id, -7
                FROM loyalty_entry entry, loyalty_lot lot WHERE entry.idempotency_key = 'two' AND lot.points = 100""",
            "UPDATE loyalty_lot SET remaining = remaining + 7 WHERE points = 100",
        )


def test_what_the_ledger_points_to_must_exist(member: Member) -> None:
    for statement in (
        "INSERT INTO loyalty_draw (entry_id, lot_id, points) SELECT id, 987654321, 30 FROM loyalty_entry LIMIT 1",
        "INSERT INTO loyalty_draw (entry_id, lot_id, points) SELECT 987654321, id, 30 FROM loyalty_lot LIMIT 1",
        f"INSERT INTO loyalty_lot SELECT 0, 1, 1, now(), NULL, 987654321, {member.pk}",
        entry(member, kind="reverse", reverses=987654321),
    ):
        with pytest.raises(IntegrityError):
            run(statement)


def test_an_account_and_a_lot_stay_with_their_member(member: Member) -> None:
    other = make_member()
    for table in ("loyalty_account", "loyalty_lot"):
        with pytest.raises(IntegrityError, match="append-only"):
            run(f"UPDATE {table} SET member_id = {other.pk}")


def test_an_account_opens_empty_and_for_a_member() -> None:
    member = make_member()
    for row in (f"{member.pk}, 5, 0", f"{member.pk}, 0, 1", "987654321, 0, 0"):
        with pytest.raises(IntegrityError):
            run(f"INSERT INTO loyalty_account (member_id, balance, version) VALUES ({row})")


def test_members_and_purchases_stay_until_their_points_are_taken_back() -> None:
    purchase = make_purchase()
    earned = ledger.award(
        member_id=purchase.member_id, points=5, key="earned", occurred_at=NOW, explanation={}, purchase=purchase
    )
    for table, row in (("members_purchase", purchase.pk), ("members_member", purchase.member_id)):
        with pytest.raises(IntegrityError, match="before they are taken back"):
            run(f"DELETE FROM members_purchase WHERE id = {purchase.pk}", f"DELETE FROM {table} WHERE id = {row}")
    ledger.reverse(earned, explanation={})
    run(
        f"DELETE FROM members_purchase WHERE id = {purchase.pk}",
        f"DELETE FROM members_member WHERE id = {purchase.member_id}",
    )


@pytest.mark.parametrize(
    "hide",
    [
        "DELETE FROM loyalty_unchecked",
        "WITH gone AS (DELETE FROM loyalty_unchecked RETURNING 1) SELECT FROM gone",
        "UPDATE loyalty_unchecked SET members = '{}'",
        "UPDATE loyalty_unchecked SET xact = '1'",
        "TRUNCATE loyalty_unchecked",
    ],
)
def test_what_is_still_to_be_checked_cannot_be_taken_away_before_the_commit(member: Member, hide: str) -> None:
    with pytest.raises(DatabaseError):
        run("UPDATE loyalty_account SET balance = balance + 1", hide)


@pytest.mark.parametrize(
    ("reason", "hide"),
    [
        ("balance 121", "DELETE FROM public.loyalty_unchecked"),
        ("is refused", "UPDATE public.loyalty_unchecked SET members = '{}'"),
        ("TRUNCATE", "TRUNCATE public.loyalty_unchecked"),
    ],
)
def test_nor_can_it_by_a_trigger_on_a_table_of_ones_own(member: Member, reason: str, hide: str) -> None:
    with pytest.raises(DatabaseError, match=reason):
        run(
            "CREATE TEMP TABLE door (one integer) ON COMMIT DROP",
            f"CREATE FUNCTION pg_temp.hide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {hide}; RETURN NULL; END $$",
            "CREATE TRIGGER hide AFTER INSERT ON door EXECUTE FUNCTION pg_temp.hide()",
            "UPDATE loyalty_account SET balance = balance + 1",
            "INSERT INTO door VALUES (1)",
        )


def test_what_was_checked_early_is_checked_again_when_it_changes(member: Member) -> None:
    wrong = "UPDATE loyalty_account SET balance = balance + 1"
    with pytest.raises(IntegrityError, match="balance 121"):
        run("UPDATE loyalty_account SET balance = balance", "DELETE FROM loyalty_unchecked", wrong)


def test_a_check_that_is_taken_back_is_still_to_be_made(member: Member) -> None:
    with pytest.raises(IntegrityError, match="balance 121"):
        run(
            "UPDATE loyalty_account SET balance = balance + 1",
            "SAVEPOINT early",
            "UPDATE loyalty_account SET balance = balance - 1",
            "DELETE FROM loyalty_unchecked",
            "ROLLBACK TO early",
        )


def test_an_entry_written_with_its_lot_is_checked_where_something_is_drawn_under_it(member: Member) -> None:
    earned = row(member, kind="earn", points=10, after=130)
    spent = row(member, seq=5, kind="redeem", points=-5, after=125, key="raw too")
    with pytest.raises(IntegrityError, match="of 10 points: lot 10, draws -5"):
        run(
            f"""WITH earned AS ({earned} RETURNING id, member_id), spent AS ({spent} RETURNING id), made AS (
                INSERT INTO loyalty_lot (entry_id, member_id, points, remaining, activates_at)
                SELECT id, member_id, 10, 10, now() FROM earned)
                INSERT INTO loyalty_draw (entry_id, lot_id, points)
                SELECT earned.id, lot.id, -5 FROM earned, loyalty_lot lot WHERE lot.points = 100
                UNION ALL SELECT spent.id, lot.id, 10 FROM spent, loyalty_lot lot WHERE lot.points = 50""",
            "UPDATE loyalty_lot SET remaining = remaining + 5 WHERE points = 100",
            "UPDATE loyalty_lot SET remaining = remaining - 10 WHERE points = 50",
            "UPDATE loyalty_account SET balance = 125, version = 5",
        )


def test_an_entry_without_its_lot_is_refused(member: Member) -> None:
    with pytest.raises(IntegrityError, match="of 10 points: lot <NULL>"):
        run(
            row(member, kind="earn", points=10, after=130),
            row(member, seq=5, kind="redeem", points=-10, after=120, key="raw too"),
            "UPDATE loyalty_account SET version = 5",
        )


@pytest.mark.parametrize("table", ["loyalty_unchecked", "loyalty_account", "loyalty_lot", "loyalty_entry"])
def test_a_temporary_table_does_not_stand_in_for_one_of_the_ledger(member: Member, table: str) -> None:
    with pytest.raises(IntegrityError, match="balance 121"):
        run(
            f"CREATE TEMP TABLE {table} ON COMMIT DROP AS SELECT * FROM public.{table}",
            "UPDATE public.loyalty_account SET balance = balance + 1",
        )


def test_points_do_not_move_between_lots_by_draws_that_cancel_out(member: Member) -> None:
    ledger.award(member_id=member.pk, points=7, key="three", occurred_at=NOW, explanation={})
    ledger.spend(member_id=member.pk, points=75, key="more", occurred_at=NOW, explanation={})
    with pytest.raises(IntegrityError, match="same way"):
        run(
            """INSERT INTO loyalty_draw (entry_id, lot_id, points)
                SELECT entry.id, lot.id, CASE lot.points WHEN 7 THEN 5 ELSE -5 END
                  FROM loyalty_entry entry, loyalty_lot lot
                 WHERE entry.idempotency_key = 'spent' AND lot.points IN (7, 50)""",
            "UPDATE loyalty_lot SET remaining = remaining - 5 WHERE points = 7",
            "UPDATE loyalty_lot SET remaining = remaining + 5 WHERE points = 50",
        )


def test_purchases_are_not_truncated() -> None:
    with pytest.raises(IntegrityError, match="refused"):
        run("TRUNCATE members_purchase CASCADE")


ROW = """INSERT INTO loyalty_entry (member_id, seq, kind, points, balance_after, qualifying, debt, debt_after,
    occurred_at, created_at, idempotency_key, input_hash, explanation, award_id, reverses_id)
    VALUES ({member}, {seq}, '{kind}', {points}, {after}, {qualifying}, {debt}, {owed}, now(), now(), '{key}', '',
    '{{}}', {award}, {reverses})"""


def row(member: Member, **fields: object) -> str:
    values = {"seq": 4, "kind": "clawback", "points": -10, "after": 110, "qualifying": 0, "debt": 0, "owed": 0}
    names = {"member": member.pk, "key": "raw", "award": "NULL", "reverses": "NULL"}
    return ROW.format(**(values | names | fields))


def first(key: str = "one") -> int:
    return Entry.objects.get(idempotency_key=key).pk


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("part_names_whole", {}),
        ("part_names_whole", {"kind": "earn", "points": 10, "after": 130, "award": 1}),
        ("part_names_whole", {"kind": "transfer", "points": 10, "after": 130}),
        ("sign_of_kind", {"points": 10, "after": 130, "award": 1}),
        ("sign_of_kind", {"qualifying": 5, "award": 1}),
        ("sign_of_kind", {"kind": "earn", "points": 10, "after": 130, "qualifying": -5}),
        ("sign_of_kind", {"kind": "redeem", "qualifying": -5}),
        ("debt_within_points", {"debt": 11, "owed": 11, "award": 1}),
        ("debt_within_points", {"kind": "redeem", "debt": 10, "owed": 10}),
        ("debt_within_points", {"kind": "earn", "points": 10, "after": 130, "debt": -11, "owed": 0}),
        ("negative_by_debt_only", {"debt": -1, "owed": -1, "kind": "earn", "points": 10, "after": 130}),
        ("negative_by_debt_only", {"points": -130, "after": -10, "debt": 9, "owed": 9, "award": 1}),
        ("does not follow", {"debt": 5, "owed": 6, "award": 1}),
        ("more than its award", {"award": 987654321}),
    ],
)
def test_debt_clawbacks_and_transfers_have_their_form(member: Member, reason: str, fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match=reason):
        run(row(member, **fields))


def test_clawbacks_never_take_more_than_the_award_gave_in_points_or_for_tiers(member: Member) -> None:
    award = first()
    other = ledger.award(member_id=make_member().pk, points=100, key="other", occurred_at=NOW, explanation={})
    for fields in (
        {"points": -101, "after": 19},
        {"points": 0, "after": 120, "qualifying": -101},
        {"award": other.pk},
        {"award": first("spent")},
    ):
        with pytest.raises(IntegrityError, match="more than its award"):
            run(row(member, **({"award": award} | fields)))
    ledger.claw_back(
        Entry.objects.get(pk=award), points=60, qualifying=60, key="c", policy="debt", occurred_at=NOW, explanation={}
    )
    with pytest.raises(IntegrityError, match="more than its award"):
        run(row(member, award=award, seq=5, points=-41, after=19))


def test_an_award_is_not_reversed_while_a_part_of_it_stands_as_taken_back(member: Member) -> None:
    award = Entry.objects.get(pk=first())
    ledger.claw_back(award, points=1, qualifying=1, key="c", policy="debt", occurred_at=NOW, explanation={})
    reversal = {"kind": "reverse", "seq": 5, "points": -100, "after": 19, "qualifying": -100, "reverses": award.pk}
    with pytest.raises(IntegrityError, match="a part stands"):
        run(row(member, **reversal))
    with pytest.raises(IntegrityError, match="does not match"):
        run(row(member, **(reversal | {"qualifying": -99})))
    ledger.reverse(award, explanation={}, occurred_at=NOW)
    with pytest.raises(IntegrityError, match="more than its award"):
        run(row(member, award=award.pk, seq=7, points=-1, after=19))


def test_who_owes_points_holds_none(member: Member) -> None:
    claw = row(member, award=first(), debt=10, owed=10)
    with pytest.raises(IntegrityError, match="debt 10"):
        run(claw, "UPDATE loyalty_account SET balance = 110, version = 4, debt = 10")
    with pytest.raises(IntegrityError, match="debt 0"):
        run(claw, "UPDATE loyalty_account SET balance = 110, version = 4")
    with pytest.raises(IntegrityError, match="loyalty_account_negative_by_debt_only"):
        run("UPDATE loyalty_account SET debt = -1")


def test_only_what_pays_debt_is_drawn_from_the_lot_that_an_award_brings(member: Member) -> None:
    draw = """INSERT INTO loyalty_draw (entry_id, lot_id, points)
        SELECT entry.id, lot.id, 5 FROM loyalty_entry entry JOIN loyalty_lot lot ON lot.entry_id = entry.id
         WHERE entry.idempotency_key = 'two'"""
    with pytest.raises(IntegrityError, match="same way"):
        run(draw, "UPDATE loyalty_lot SET remaining = remaining - 5 WHERE points = 50")


def test_of_a_transfer_as_much_arrives_as_is_given(member: Member) -> None:
    other = make_member()
    ledger.award(member_id=other.pk, points=7, key="other", occurred_at=NOW, explanation={})
    run()
    give = [
        row(member, kind="transfer"),
        "UPDATE loyalty_account SET balance = 110, version = 4 WHERE balance = 120",
        """INSERT INTO loyalty_draw (entry_id, lot_id, points) SELECT entry.id, lot.id, 10
            FROM loyalty_entry entry, loyalty_lot lot WHERE entry.idempotency_key = 'raw' AND lot.points = 50""",
        "UPDATE loyalty_lot SET remaining = 40 WHERE points = 50",
    ]
    with pytest.raises(IntegrityError, match="arrived elsewhere"):
        run(*give)
    given = ledger.transfer(
        from_member=member.pk, to_member=other.pk, points=10, key="t", occurred_at=NOW, explanation={}
    )
    run()
    with pytest.raises(IntegrityError, match="nobody else gave"):
        run(row(member, kind="transfer", points=10, seq=5, after=120, key="more", award=given.pk))
    with pytest.raises(IntegrityError, match="nobody else gave"):
        run(row(other, kind="transfer", points=10, seq=3, after=27, key="more", award=first()))
    with pytest.raises(IntegrityError, match="arrived elsewhere 11"):
        run(
            row(other, kind="transfer", points=1, seq=3, after=18, key="more", award=given.pk),
            LOT.format(points=1, remaining=1, key="more"),
            f"UPDATE loyalty_account SET balance = 18, version = 3 WHERE member_id = {other.pk}",
        )
    with pytest.raises(IntegrityError, match="does not match"):
        run(row(member, kind="reverse", points=10, seq=5, after=120, reverses=given.pk))


def test_held_points_are_released_once_and_only_sliding_ones_live_longer(member: Member) -> None:
    ledger.award(member_id=member.pk, points=5, key="h", occurred_at=NOW, held=True, expires_at=NOW, explanation={})
    ledger.award(member_id=member.pk, points=6, key="s", occurred_at=NOW, idle_months=3, explanation={})
    for change in (
        "expires_at = expires_at + interval '1 day' WHERE points = 5",
        "expires_at = expires_at - interval '1 day' WHERE points = 6",
        "expires_at = NULL WHERE points = 6",
        "idle_months = 4 WHERE points = 6",
        "activates_at = now() WHERE points = 6",
        "activates_at = NULL WHERE points = 6",
    ):
        with pytest.raises(IntegrityError, match=r"append-only"):
            run(f"UPDATE loyalty_lot SET {change}")
    run("UPDATE loyalty_lot SET activates_at = now() WHERE points = 5")
    with pytest.raises(IntegrityError, match="append-only"):
        run("UPDATE loyalty_lot SET activates_at = activates_at - interval '1 day' WHERE points = 5")
    run("UPDATE loyalty_lot SET expires_at = expires_at + interval '1 day' WHERE points = 6")


def test_a_lot_that_lapses_in_idleness_has_an_expiry(member: Member) -> None:
    with pytest.raises(IntegrityError, match="idle_expires"):
        run(
            entry(member),
            MOVE,
            """INSERT INTO loyalty_lot (entry_id, member_id, points, remaining, activates_at, idle_months)
                SELECT id, member_id, 10, 10, now(), 3 FROM loyalty_entry WHERE idempotency_key = 'raw'""",
        )


def test_there_is_one_row_of_settings_with_a_known_policy() -> None:
    settings_now()
    for statement in (
        "UPDATE loyalty_programmesettings SET id = 2",
        "UPDATE loyalty_programmesettings SET clawback_policy = 'forget'",
        "UPDATE loyalty_programmesettings SET point_value = -1",
    ):
        with pytest.raises(IntegrityError, match="loyalty_programme_settings"):
            run(statement)


def test_what_is_drawn_from_a_lot_is_found_by_the_lot_even_where_no_draw_was_counted() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE loyalty_draw")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT sum(points) FROM loyalty_draw draw WHERE draw.lot_id = 1")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "loyalty_draw_lot_id" in plan
    assert "loyalty_draw_once" not in plan
