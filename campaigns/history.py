"""The import kind ``campaign-history``: campaigns that were run elsewhere, one row per member and event.

A campaign that the file names and we do not know is made, done and imported. Its arms are those that
its events name; as nobody told us planned shares it gets no experiment, and analytics counts the
members of its events.
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext_lazy as _

from members.experiments import CONTROL
from members.importing.kinds import MEMBER_SYNONYMS, TIME_SYNONYMS, Column, Counts, ImportKind, Type, UndoPreview

# Other systems' words for the arm that was sent nothing.
CONTROL_WORDS = ("control", "control group", "holdout", "hold-out", "not sent", "对照", "对照组")

_WORDS = ", ".join(f"'{word}'" for word in CONTROL_WORDS)
ARM = f"CASE WHEN lower(r.variant) IN ({_WORDS}) THEN '{CONTROL}' ELSE coalesce(r.variant, 'A') END"

CAMPAIGNS = """
    INSERT INTO campaigns_campaign (name, state, imported, external_id, audience, holdout_percent, scheduled_at,
        time_zone, late_policy, goal_days, revision, import_run_id, created_at, updated_at)
    SELECT left(campaign, 120), 'done', true, campaign, '{}', 0, min(occurred_at), %s, 'skip', 14, 1, %s, now(), now()
    FROM import_rows GROUP BY campaign ORDER BY campaign
    ON CONFLICT (external_id) DO NOTHING
"""

VARIANTS = f"""
    INSERT INTO campaigns_variant (campaign_id, key, name, share, subject, body)
    SELECT DISTINCT c.id, {ARM}, '', 0, '', ''
    FROM import_rows r JOIN campaigns_campaign c ON c.external_id = r.campaign
    WHERE {ARM} <> '{CONTROL}'
    ON CONFLICT (campaign_id, key) DO NOTHING
"""  # noqa: S608 (constants of this module)

EVENTS = f"""
    INSERT INTO campaigns_campaignevent (campaign_id, member_id, arm, event, occurred_at, key, import_run_id)
    SELECT c.id, r.member_id, {ARM}, r.event, r.occurred_at, r.row_key, %s
    FROM import_rows r JOIN campaigns_campaign c ON c.external_id = r.campaign
    ORDER BY r.row_no
"""  # noqa: S608

# What an import left where other imports have events of the same campaign stays.
EMPTY = """
    FROM campaigns_campaign c WHERE c.import_run_id = %s AND c.imported
    AND NOT EXISTS (SELECT 1 FROM campaigns_campaignevent e
        WHERE e.campaign_id = c.id AND e.import_run_id IS DISTINCT FROM %s)
"""


class CampaignHistoryKind(ImportKind):
    """What happened to members in campaigns of another system."""

    key = "campaign-history"
    label = _("Campaign history")
    key_columns = ("key",)
    reasons = {
        "differs": _("this event is already there with other content"),
        "own_campaign": _("“%(value)s” is a campaign that was run here; its history cannot be imported"),
    }
    columns = (
        Column(name="key", label=_("outside id"), max_length=120, synonyms=("id", "event_id", "编号")),
        Column(
            name="campaign",
            label=_("campaign"),
            required=True,
            max_length=120,
            synonyms=("campaign_id", "campaign name", "offer", "offer_id", "promotion", "活动", "活动编号", "活动名称"),
        ),
        Column(name="member", label=_("member"), type=Type.MEMBER, required=True, synonyms=MEMBER_SYNONYMS),
        Column(
            name="variant",
            label=_("variant or control"),
            max_length=16,
            synonyms=("arm", "group", "test group", "分组", "组别"),
            help=_("“control” for members who were sent nothing. Empty: variant A."),
        ),
        Column(
            name="event",
            label=_("event"),
            required=True,
            max_length=32,
            synonyms=("action", "status", "event type", "事件", "动作"),
            help=_("received, viewed, opened, clicked, completed …"),
        ),
        Column(name="occurred_at", label=_("time"), type=Type.TIME, required=True, synonyms=TIME_SYNONYMS),
    )
    match_sql = f"""
        SELECT r.row_no, e.id, (
            e.member_id = r.member_id AND e.event = r.event AND e.occurred_at = r.occurred_at
            AND e.arm = {ARM} AND c.external_id = r.campaign
        ) AS same
        FROM import_rows r
        JOIN campaigns_campaignevent e ON e.key = r.row_key
        JOIN campaigns_campaign c ON c.id = e.campaign_id
    """  # noqa: S608

    def check(self, cursor: CursorWrapper, run_id: int) -> None:
        """Refuse history of our own campaigns: it would be counted beside what we saw ourselves."""
        cursor.execute(
            "INSERT INTO import_errors SELECT r.row_no, 'campaign', 'own_campaign', r.campaign FROM import_rows r"
            " JOIN campaigns_campaign c ON c.external_id = r.campaign AND NOT c.imported"
        )

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Make the campaigns that are missing, and add the events."""
        cursor.execute(CAMPAIGNS, [settings.TIME_ZONE, run_id])
        campaigns = cursor.rowcount
        cursor.execute(VARIANTS)
        cursor.execute(EVENTS, [run_id])
        return Counts(added=cursor.rowcount, notes={"campaigns": campaigns} if campaigns else {})

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """How many events and campaigns would go."""
        cursor.execute("SELECT count(*) FROM campaigns_campaignevent WHERE import_run_id = %s", [run_id])
        events = _first(cursor)
        cursor.execute(f"SELECT count(*) {EMPTY}", [run_id, run_id])
        return UndoPreview(
            removes=[(_("campaign events are removed"), events), (_("campaigns are removed"), _first(cursor))]
        )

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Remove the run's events, and the campaigns that have none left."""
        cursor.execute("DELETE FROM campaigns_campaignevent WHERE import_run_id = %s", [run_id])
        events = cursor.rowcount
        cursor.execute(f"SELECT c.id {EMPTY}", [run_id, run_id])
        campaigns = [row[0] for row in cursor.fetchall()]
        cursor.execute("DELETE FROM campaigns_variant WHERE campaign_id = ANY(%s)", [campaigns])
        cursor.execute("DELETE FROM campaigns_campaign WHERE id = ANY(%s)", [campaigns])
        return {"removed": events, "campaigns": len(campaigns)}


def _first(cursor: CursorWrapper) -> int:
    row: tuple[Any, ...] = cursor.fetchone() or (0,)
    return int(row[0])
