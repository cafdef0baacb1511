"""The answers behind a score: the rows that NPS counts, to be read."""

from collections.abc import Mapping
from datetime import datetime, time
from urllib.parse import urlencode

from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from analytics.measures import nps
from analytics.periods import BadQuery, add_months, read_query
from members.models import SurveyResponse


def listed(parameters: Mapping[str, str]) -> QuerySet[SurveyResponse]:
    """Answers with a score, newest first, by ``month``, ``from`` and ``to``, ``survey``, ``score``, ``group``, ``q``.

    The same months as the figures: answers without a day are in all time and in the month "unknown".
    Raises :class:`~analytics.periods.BadQuery`.
    """
    answers = _of_months(SurveyResponse.objects.filter(score__isnull=False), parameters)
    if survey := parameters.get("survey"):
        answers = answers.filter(survey=survey)
    if score := parameters.get("score"):
        if score not in {str(number) for number in range(11)}:
            raise BadQuery("score", _("“score” is a number from 0 to 10."))
        answers = answers.filter(score=int(score))
    if group := parameters.get("group"):
        if group not in nps.GROUPS:
            raise BadQuery("group", _("“group” is one of: %(known)s.") % {"known": ", ".join(nps.GROUPS)})
        answers = answers.filter(score__in=list(nps.GROUPS[group]))
    if text := parameters.get("q", "").replace("\0", "").strip():
        answers = answers.filter(comment__icontains=text)
    return answers.select_related("member").order_by(F("answered_at").desc(nulls_last=True), "-pk")


def _of_months(answers: QuerySet[SurveyResponse], parameters: Mapping[str, str]) -> QuerySet[SurveyResponse]:
    month = parameters.get("month", "")
    if month == nps.UNKNOWN:
        return answers.filter(answered_at=None)
    query = read_query({**parameters, **({"from": month, "to": month, "period": ""} if month else {})}, span=nps.span())
    if query.everything:
        return answers
    zone = timezone.get_default_timezone()
    return answers.filter(
        answered_at__gte=datetime.combine(query.first, time(), zone),
        answered_at__lt=datetime.combine(add_months(query.last, 1), time(), zone),
    )


def url(keys: Mapping[str, str]) -> str:
    """Where the answers with these keys are listed."""
    return f"{reverse('analytics:answers')}?{urlencode(keys)}"
