"""Taking members of an import back, and giving those it changed what they had.

Whoever has gained something from elsewhere since (a purchase, a redemption, a balance) stays. Everybody
else is removed, also who has nothing left but ledger history that adds up to nothing: the ledger keeps
its entries without them (docs/adr/0003).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import models
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext_lazy as _
from psycopg import sql

from members.importing import kinds
from members.importing.composed import execute
from members.importing.kinds import Text, UndoPreview
from members.models import Consent, ImportChange, Member, SegmentMember

# What a member looks like before and after a change; restored field by field.
IMAGE = """jsonb_build_object(
    'external_id', m.external_id, 'number', m.number, 'given_name', m.given_name, 'family_name', m.family_name,
    'email', m.email, 'phone', m.phone, 'gender', m.gender, 'birth_date', m.birth_date, 'joined_at', m.joined_at,
    'status', m.status, 'language', m.language, 'time_zone', m.time_zone, 'attributes', m.attributes,
    'consents', (SELECT COALESCE(jsonb_object_agg(c.channel, jsonb_build_object('granted', c.granted,
        'changed_at', c.changed_at, 'source', c.source)), '{}') FROM members_consent AS c WHERE c.member_id = m.id))"""

_FIELDS = {
    "external_id": "text", "number": "text", "given_name": "text", "family_name": "text", "email": "text",
    "phone": "text", "gender": "text", "birth_date": "date", "joined_at": "timestamptz", "status": "text",
    "language": "text", "time_zone": "text",
}  # fmt: skip
_SET = ", ".join(
    f"{name} = CASE WHEN now_is->'{name}' = c.after->'{name}' THEN (c.before->>'{name}')::{kind} ELSE m.{name} END"
    for name, kind in _FIELDS.items()
)
_RESTORE = f"""
    UPDATE members_member AS m SET {_SET}, updated_at = now(),
        attributes = CASE WHEN now_is->'attributes' = c.after->'attributes' THEN c.before->'attributes'
                          ELSE m.attributes END
    FROM (SELECT c.*, {IMAGE} AS now_is FROM members_importchange AS c JOIN members_member AS m ON m.id = c.member_id
          WHERE c.run_id = %s) AS c
    WHERE m.id = c.member_id
"""  # noqa: S608 - constants of ours

_RESTORE_CONSENTS = """
    UPDATE members_consent AS k SET granted = (was->>'granted')::boolean,
        changed_at = (was->>'changed_at')::timestamptz, source = was->>'source'
    FROM (SELECT c.member_id, b.key AS channel, b.value AS was, c.after->'consents'->b.key AS became
          FROM members_importchange AS c, jsonb_each(c.before->'consents') AS b WHERE c.run_id = %s) AS c
    WHERE k.member_id = c.member_id AND k.channel = c.channel AND c.was <> c.became
        AND k.granted = (became->>'granted')::boolean AND k.changed_at = (became->>'changed_at')::timestamptz
"""

_REMOVE_CONSENTS = """
    DELETE FROM members_consent AS k USING members_importchange AS c
    WHERE c.run_id = %s AND k.member_id = c.member_id AND NOT c.before->'consents' ? k.channel
        AND c.after->'consents'->k.channel->>'granted' = k.granted::text
        AND (c.after->'consents'->k.channel->>'changed_at')::timestamptz = k.changed_at
"""

_CHANGED_SINCE = f"""
    SELECT count(*) FROM members_importchange AS c JOIN members_member AS m ON m.id = c.member_id
    WHERE c.run_id = %s AND {IMAGE} <> c.after
"""  # noqa: S608 - a constant of ours


def preview(cursor: CursorWrapper, run_id: int) -> UndoPreview:
    """What :func:`remove` and :func:`restore` would do, in numbers."""
    _sort_out(cursor, run_id)
    cursor.execute("SELECT fate, count(*) FROM import_fates GROUP BY fate")
    fates = dict(cursor.fetchall())
    obstacles = _obstacles(cursor)
    cursor.execute("DROP TABLE import_fates")
    changes = _count(cursor, "SELECT count(*) FROM members_importchange WHERE run_id = %s", run_id)
    since = _count(cursor, _CHANGED_SINCE, run_id)
    removes: list[tuple[Text, int]] = [
        (_("members are removed"), fates.get("remove", 0)),
    ]
    restores: list[tuple[Text, int]] = [
        (_("members get their earlier values back"), changes - since),
        (_("members get back what has not been changed again since"), since),
    ]
    stays: list[tuple[Text, int]] = [
        (_("members stay, because they have gained something since"), fates.get("stay", 0))
    ]
    return UndoPreview(
        removes=[line for line in removes if line[1]],
        restores=[line for line in restores if line[1]],
        obstacles=[line for line in [*stays, *obstacles] if line[1]],
    )


def restore(cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
    """Give the members that the run changed what they had, field by field, unless it was changed since."""
    cursor.execute(_RESTORE, [run_id])
    restored = cursor.rowcount
    cursor.execute(_RESTORE_CONSENTS, [run_id])
    cursor.execute(_REMOVE_CONSENTS, [run_id])
    cursor.execute("DELETE FROM members_importchange WHERE run_id = %s", [run_id])
    return {"restored": restored}


def remove(cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
    """Remove the members that the run added; those with something of their own stay."""
    _sort_out(cursor, run_id)
    cursor.execute(
        "DELETE FROM members_consent WHERE member_id IN (SELECT member_id FROM import_fates WHERE fate <> 'stay')"
    )
    cursor.execute(
        "DELETE FROM members_importchange WHERE member_id IN (SELECT member_id FROM import_fates WHERE fate <> 'stay')"
    )
    cursor.execute(
        "DELETE FROM members_segmentmember WHERE member_id IN (SELECT member_id FROM import_fates WHERE fate <> 'stay')"
    )
    for relation in _relations():
        if relation.is_history and relation.is_bound:
            gone = "DELETE FROM {table} WHERE {column} IN (SELECT member_id FROM import_fates WHERE fate = 'remove')"
            execute(cursor, relation.sql(gone))
    cursor.execute("DELETE FROM members_member WHERE id IN (SELECT member_id FROM import_fates WHERE fate = 'remove')")
    removed = cursor.rowcount
    cursor.execute("SELECT count(*) FROM import_fates WHERE fate = 'stay'")
    stayed = (cursor.fetchone() or (0,))[0]
    cursor.execute("DROP TABLE import_fates")
    return {"removed": removed, "stayed": stayed}


@dataclass(frozen=True)
class _Relation:
    """One table of any room that points to members. ``is_bound``: the database insists that they exist."""

    table: str
    column: str
    words: Text
    is_history: bool
    is_bound: bool

    def sql(self, text: str) -> sql.Composed:
        """A statement over the table and its column."""
        return sql.SQL(text).format(table=sql.Identifier(self.table), column=sql.Identifier(self.column))


def _relations() -> list[_Relation]:
    """Every table of every room that points to members, but for what belongs to them outright."""
    history = {label for kind in kinds.all_kinds() for label in kind.leaves}
    found = []
    for relation in Member._meta.related_objects:
        model, field = relation.related_model, relation.field
        if model in {Consent, ImportChange, SegmentMember} or not isinstance(field, models.ForeignKey):
            continue
        meta = model._meta
        words, is_history = _(str(meta.verbose_name_plural)), meta.label in history
        found.append(_Relation(meta.db_table, field.column, words, is_history, getattr(field, "db_constraint", True)))
    return found


def _sort_out(cursor: CursorWrapper, run_id: int) -> None:
    """Make ``import_fates``: who of the run stays and who is removed."""
    cursor.execute("DROP TABLE IF EXISTS pg_temp.import_fates")
    cursor.execute(
        "CREATE TEMP TABLE import_fates AS SELECT id AS member_id, 'remove' AS fate FROM members_member "
        "WHERE import_run_id = %s",
        [run_id],
    )
    cursor.execute("ANALYZE import_fates")
    for relation in _relations():
        if not relation.is_history:
            execute(
                cursor,
                relation.sql(
                    "UPDATE import_fates AS f SET fate = 'stay' "
                    "WHERE EXISTS (SELECT FROM {table} AS t WHERE t.{column} = f.member_id)"
                ),
            )
    for kind in kinds.all_kinds():
        if kind.holds_members_sql:
            execute(
                cursor,
                sql.SQL("UPDATE import_fates SET fate = 'stay' WHERE member_id IN ({})").format(
                    sql.SQL(kind.holds_members_sql)
                ),
            )


def _obstacles(cursor: CursorWrapper) -> list[tuple[Text, int]]:
    """How many rows of which kind keep members from being taken back."""
    found: list[tuple[Text, int]] = []
    for relation in _relations():
        if not relation.is_history:
            execute(
                cursor,
                relation.sql("SELECT count(*) FROM {table} WHERE {column} IN (SELECT member_id FROM import_fates)"),
            )
            found.append((relation.words, (cursor.fetchone() or (0,))[0]))
    return found


def _count(cursor: CursorWrapper, query: str, run_id: int) -> int:
    cursor.execute(query, [run_id])
    return int((cursor.fetchone() or (0,))[0])
