"""What can be imported: each kind declares its columns and brings the SQL that applies its rows.

A room subclasses :class:`ImportKind` and registers one instance in its ``apps.py``. While a kind's
methods run, these temporary tables stand, so that its SQL is constant text:

``import_rows``
    The good rows: ``row_no``, ``row_key`` (identity: the outside key, or a hash of the content and
    the place among identical rows), ``row_hash`` (content), one typed column per declared column
    (NULL where empty; a MEMBER column ``member`` gives ``member_id bigint``), ``extra jsonb`` (the
    columns that are kept beside the fields). A column that the file lacks is NULL throughout, or
    its constant or default.
``import_errors``
    ``row_no``, ``field``, ``reason`` (a code of ``reasons``), ``value``. :meth:`ImportKind.check`
    may add rows.
``import_matches``
    ``row_no``, ``id`` (of the row that stands already) and ``same`` (whether its content is the
    same), filled from :attr:`ImportKind.match_sql`.

Before ``apply``, bad rows, repeats of the same key and rows that stand already unchanged are taken
out of ``import_rows``. What differs from what stands is refused, or stays in ``import_rows`` where
the kind updates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from django.db.backends.utils import CursorWrapper
from django.utils.functional import Promise

from staff.models import User

Text = str | Promise

# How the columns that most kinds have are called in other systems.
MEMBER_SYNONYMS = (
    "person", "member id", "member_id", "customer", "customer_id", "user", "user_id", "card", "card number", "card no",
    "member number", "member no", "membership number", "membership no",
    "会员", "会员号", "会员卡号", "卡号", "会员编号", "客户编号",
)  # fmt: skip
TIME_SYNONYMS = ("date", "timestamp", "datetime", "at", "created", "created_at", "时间", "日期")


class Type(StrEnum):
    """What a column's text is turned into; the SQL of each stands in ``values.py``."""

    TEXT = "text"
    EMAIL = "email"  # text, lower case
    PHONE = "phone"  # text, E.164 where it could be read
    INTEGER = "integer"  # bigint
    MONEY = "money"  # numeric, at most two decimals
    DATE = "date"
    TIME = "time"  # timestamptz; one that has come
    YES_NO = "yes_no"  # boolean
    CHOICE = "choice"  # text, one of ``choices``
    MEMBER = "member"  # bigint: the id of the member with this outside id or number


@dataclass(frozen=True, kw_only=True)
class Column:
    """One field of a kind. ``synonyms`` are other names by which a file's column is recognised.

    ``choices`` maps what may stand in the file (lower case) to what is kept. ``default`` is the text
    that is taken where the file has no such column. ``minimum`` and ``maximum`` bound numbers.
    """

    name: str
    label: Text
    type: Type = Type.TEXT
    required: bool = False
    synonyms: Sequence[str] = ()
    max_length: int | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    minimum: int | None = None
    maximum: int | None = None
    default: str = ""
    help: Text = ""

    @property
    def sql_name(self) -> str:
        """The column's name in ``import_rows``."""
        return f"{self.name}_id" if self.type is Type.MEMBER else self.name


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the rows that were applied."""

    added: int = 0
    updated: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UndoPreview:
    """What taking an import back would do: rows removed and restored, and what stands in the way.

    Each is a list of (words, count). ``obstacles`` stay as they are; the rest is taken back. ``points`` are how many
    it moves, given and taken together or whichever is more.
    """

    removes: Sequence[tuple[Text, int]]
    restores: Sequence[tuple[Text, int]] = ()
    obstacles: Sequence[tuple[Text, int]] = ()
    points: int = 0


class ImportKind(Protocol):
    """One kind of file. Subclass it, declare the columns, bring the SQL.

    ``key_columns`` names the columns that hold the outside key; the first that is filled is a row's key
    (all may be empty: then its content is its key). With
    ``updates`` a row whose key stands with other content changes it; without, it is refused with
    ``difference_reason``. ``reasons`` are the kind's own codes with their words (``%(value)s`` is
    the cell). ``keeps_rest`` says that columns of the file that are mapped to nothing go to ``extra``. ``needs_key``
    says that a row without any key is refused.

    ``leaves`` names the models (``app.Model``) whose rows an undo of this kind leaves behind as history,
    such as the ledger's, or that go with the member by themselves: they keep no member from being removed.
    ``holds_members_sql`` selects the ids of members who have something that must not be lost.
    """

    key: str
    label: Text
    columns: Sequence[Column]
    key_columns: Sequence[str] = ()
    updates: bool = False
    keeps_rest: bool = False
    needs_key: bool = False
    match_sql: str = "SELECT NULL::bigint AS row_no, NULL::bigint AS id, NULL::boolean AS same WHERE false"
    difference_reason: str = "differs"
    reasons: Mapping[str, Text] = {}
    leaves: Sequence[str] = ()
    holds_members_sql: str = ""

    def begin(self) -> None:
        """Raise ``runs.Refused`` where nothing of this kind can be brought in now; the file is not read then."""
        return None  # noqa: RET501 - says to mypy that this is no abstract method

    def check(self, cursor: CursorWrapper, run_id: int) -> None:
        """Add rows to ``import_errors`` for what only this kind can know. Writes nothing else."""
        return None  # noqa: RET501 - as above

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Write all of ``import_rows``, set-based, inside the run's one transaction."""
        raise NotImplementedError

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """Say what :meth:`undo` would do. Writes nothing."""
        raise NotImplementedError

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Take back what the run wrote, in one transaction; returns counts by name. Repeatable."""
        raise NotImplementedError

    def may_undo_alone(self, points: int, user: User) -> bool:
        """Whether this person could take an import back now that moves so many points, without a second one."""
        return True

    def undo_alone(self, points: int, user: User) -> bool:
        """The same, and counted in the transaction that takes it back. False counts nothing."""
        return True


_kinds: dict[str, ImportKind] = {}


def register(kind: ImportKind) -> None:
    """Make a kind known under its key."""
    _kinds[kind.key] = kind


def get(key: str) -> ImportKind:
    """The kind of this key. Raises KeyError."""
    return _kinds[key]


def all_kinds() -> list[ImportKind]:
    """Every kind, members first, since the others speak of them."""
    return sorted(_kinds.values(), key=lambda kind: (kind.key != "members", kind.key))
