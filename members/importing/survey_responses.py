"""The kind ``survey-responses``: answers to "would you recommend us"."""

from collections.abc import Mapping

from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext_lazy as _

from members.importing.kinds import MEMBER_SYNONYMS, TIME_SYNONYMS, Column, Counts, ImportKind, Type, UndoPreview


class SurveyResponseKind(ImportKind):
    """Answers with a score from 0 to 10 or none; without a member they are anonymous."""

    key = "survey-responses"
    label = _("Survey answers")
    key_columns = ("external_id",)
    keeps_rest = True
    reasons = {"differs": _("this answer is already there with other content")}
    columns = (
        Column(
            name="external_id",
            label=_("outside id"),
            max_length=120,
            synonyms=("id", "response_id", "answer_id", "编号", "答卷编号"),
        ),
        Column(
            name="member",
            label=_("member"),
            type=Type.MEMBER,
            synonyms=MEMBER_SYNONYMS,
            help=_("Empty: the answer is anonymous."),
        ),
        Column(name="survey", label=_("survey"), max_length=64, default="nps", synonyms=("survey name", "问卷")),
        Column(
            name="score",
            label=_("score"),
            type=Type.INTEGER,
            minimum=0,
            maximum=10,
            synonyms=("rating", "nps", "recommend", "评分", "得分", "分数"),
        ),
        Column(
            name="comment",
            label=_("comment"),
            synonyms=("content", "text", "review", "remarks", "feedback", "评论", "意见", "内容"),
        ),
        Column(
            name="answered_at",
            label=_("time"),
            type=Type.TIME,
            synonyms=("answered", *TIME_SYNONYMS),
            help=_("Empty: the day is unknown."),
        ),
    )
    match_sql = """
        SELECT r.row_no, s.id, (
            s.member_id IS NOT DISTINCT FROM r.member_id AND s.survey = COALESCE(r.survey, 'nps')
            AND s.score IS NOT DISTINCT FROM r.score AND s.comment = COALESCE(r.comment, '')
            AND s.answered_at IS NOT DISTINCT FROM r.answered_at AND s.properties = r.extra
        ) AS same
        FROM import_rows AS r JOIN members_surveyresponse AS s ON s.key = r.row_key
    """

    def apply(self, cursor: CursorWrapper, run_id: int) -> Counts:
        """Add the answers that are not there yet."""
        cursor.execute(
            "INSERT INTO members_surveyresponse (member_id, key, external_id, survey, score, comment, answered_at, "
            "properties, import_run_id, created_at) "
            "SELECT member_id, row_key, COALESCE(external_id, ''), COALESCE(survey, 'nps'), score, "
            "COALESCE(comment, ''), answered_at, extra, %s, now() FROM import_rows ORDER BY row_no",
            [run_id],
        )
        return Counts(added=cursor.rowcount)

    def preview_undo(self, cursor: CursorWrapper, run_id: int) -> UndoPreview:
        """How many answers would go."""
        cursor.execute("SELECT count(*) FROM members_surveyresponse WHERE import_run_id = %s", [run_id])
        return UndoPreview(removes=[(_("answers are removed"), (cursor.fetchone() or (0,))[0])])

    def undo(self, cursor: CursorWrapper, run_id: int) -> Mapping[str, int]:
        """Remove the answers of the run."""
        cursor.execute("DELETE FROM members_surveyresponse WHERE import_run_id = %s", [run_id])
        return {"removed": cursor.rowcount}
