"""Taking in one answer to a survey."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from members.importing.dates import latest_moment
from members.models import SurveyResponse
from members.repeats import same


class AnswerDiffers(ValueError):
    """The key of an answer came back with another answer."""


class LiesInTheFuture(ValueError):
    """An answer cannot have been given more than a day from now."""


@transaction.atomic
def record_answer(
    *,
    key: str,
    member_id: int | None,
    survey: str,
    score: int | None,
    comment: str,
    answered_at: datetime | None,
    external_id: str = "",
    properties: Mapping[str, Any] | None = None,
) -> tuple[SurveyResponse, bool]:
    """Write one answer, and say whether it is new. The same key with the same content returns the first.

    Raises :class:`AnswerDiffers` for other content and :class:`LiesInTheFuture`.
    """
    if answered_at and answered_at > latest_moment():
        raise LiesInTheFuture(answered_at.isoformat())
    content = {
        "member_id": member_id,
        "survey": survey,
        "score": score,
        "comment": comment,
        "answered_at": answered_at,
        "properties": dict(properties or {}),
    }
    answer, is_new = SurveyResponse.objects.get_or_create(key=key, defaults=content | {"external_id": external_id})
    if not is_new and not all(same(getattr(answer, name), value) for name, value in content.items()):
        raise AnswerDiffers(key)
    return answer, is_new
