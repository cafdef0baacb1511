"""The kind ``interactions``: what members did that is no purchase."""

from collections.abc import Mapping

from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext_lazy as _

from members.importing.kinds import MEMBER_SYNONYMS, TIME_SYNONYMS, Column, Counts, ImportKind, Type, UndoPreview


class InteractionKind(ImportKind):
    """Interactions; columns that are mapped to nothing are kept as properties."""

    key = "interactions"
    label = _("Interactions")
    key_columns = ("key",)
    keeps_rest = True
    reasons = {"differs": _("this interaction is already there with other content")}
    columns = (
        Column(
            name="key",
            label=_("outside id"),
            max_length=120,
            synonyms=("id", "interaction_id", "event_id", "编号"),
        ),
        Column(name="member", label=_("member"), type=Type.MEMBER, required=True, synonyms=MEMBER_SYNONYMS),
        Column(
            name="kind",
            label=_("kind"),
            required=True,
            max_length=64,
            synonyms=("type", "event", "event type", "interaction", "action", "类型", "事件"),
        ),
        Column(name="occurred_at", label=_("time"), type=Type.TIME, required=True, synonyms=TIME_SYNONYMS),
        Column(name="channel", label=_("channel"), max_length=32, synonyms=("渠道",)),
    )
    match_sql = """
        SELECT r.row_no, i.id, (
            i.member_id = r.member_id AND i.kind = r.kind AND i.occurred_at = r.occurred_at
            AND i.channel = COALESCE(r.channel, '') AND i.properties = r.extra
        ) AS same
        FROM import_rows AS r JOIN members_interaction AS i ON i.key = r.row_key
    """

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Add the interactions that are not there yet."""
        cursor.execute(
            "INSERT INTO members_interaction "
            "(member_id, key, kind, occurred_at, channel, properties, import_run_id, created_at) "
            "SELECT member_id, row_key, kind, occurred_at, COALESCE(channel, ''), extra, %s, now() "
            "FROM import_rows ORDER BY row_no",
            [run_id],
        )
        return Counts(added=cursor.rowcount)

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """How many interactions would go."""
        cursor.execute("SELECT count(*) FROM members_interaction WHERE import_run_id = %s", [run_id])
        return UndoPreview(removes=[(_("interactions are removed"), (cursor.fetchone() or (0,))[0])])

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Remove the interactions of the run."""
        cursor.execute("DELETE FROM members_interaction WHERE import_run_id = %s", [run_id])
        return {"removed": cursor.rowcount}
