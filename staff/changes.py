"""Changes of configuration (rules, tiers, rewards, campaigns, people) as differences a person can read.

The rows come from django-pghistory, whose triggers write one event per change of a tracked model,
whoever made it and however.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import models
from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from pghistory.models import Event

from staff.models import User

LONGEST = 120


@dataclass(frozen=True)
class Difference:
    """One field that changed. ``before`` is empty for a new row."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one row."""

    at: datetime
    who: str
    model: str
    subject: str
    label: str
    differences: Sequence[Difference]

    @property
    def is_new(self) -> bool:
        """Whether the row was made by it."""
        return self.label == "insert"

    @property
    def is_removed(self) -> bool:
        """Whether the row is gone since."""
        return self.label == "delete"


def tracked() -> list[type[Event]]:
    """The event models of all rooms, by name."""
    models_ = [model for model in apps.get_models() if issubclass(model, Event) and model._meta.managed]
    return sorted(models_, key=lambda model: model._meta.label_lower)


def newest(*, before: datetime | None = None, model: str = "", limit: int = 50) -> list[Change]:
    """The newest changes, of one tracked model (``loyalty.tier``) or of all, paged by time."""
    before = before or timezone.now()
    events: list[Any] = []
    for event_model in tracked():
        if not model or _subject_model(event_model)._meta.label_lower == model:
            rows: Any = event_model._default_manager.filter(pgh_created_at__lt=before)
            events += rows.select_related("pgh_context").order_by("-pgh_created_at", "-pgh_id")[:limit]
    events.sort(key=lambda event: event.pgh_created_at, reverse=True)
    events = events[:limit]
    people = _people(events)
    return [_change(event, people) for event in events]


def model_choices() -> list[tuple[str, str]]:
    """The tracked models for a filter: label and words."""
    subjects = [_subject_model(event_model) for event_model in tracked()]
    return [(subject._meta.label_lower, _(str(subject._meta.verbose_name))) for subject in subjects]


def _change(event: Any, people: dict[int, str]) -> Change:
    subject_model = _subject_model(type(event))
    metadata = event.pgh_context.metadata if event.pgh_context else {}
    older = type(event)._default_manager.filter(pgh_obj_id=event.pgh_obj_id, pgh_id__lt=event.pgh_id)
    subject = subject_model._default_manager.filter(pk=event.pgh_obj_id).first()
    return Change(
        at=event.pgh_created_at,
        who=people.get(metadata.get("user") or 0, _("system")),
        model=_(str(subject_model._meta.verbose_name)),
        subject=str(subject) if subject else f"#{event.pgh_obj_id}",
        label=event.pgh_label,
        differences=list(_differences(older.order_by("-pgh_id").first(), event)),
    )


def _differences(before: Any | None, after: Any) -> Iterable[Difference]:
    for field in after._meta.concrete_fields:
        if field.name.startswith("pgh_") or field.name == "id":
            continue
        new = getattr(after, field.attname)
        old = getattr(before, field.attname) if before is not None else None
        if new != old:
            yield Difference(
                _(str(field.verbose_name)), "" if before is None else readable(field, old), readable(field, new)
            )


def readable(field: "models.Field[Any, Any]", value: Any) -> str:
    """A value as the reader knows it: choices by their words, numbers and times by locale."""
    choices: dict[Any, str | Promise] = dict(field.flatchoices)
    if value is None or value == "":
        return "–"
    if value in choices if isinstance(value, str | int) else False:
        return str(choices[value])
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int | float | Decimal):
        return str(formats.number_format(value, use_l10n=True, force_grouping=True))
    if isinstance(value, datetime):
        return str(formats.date_format(timezone.localtime(value), "SHORT_DATETIME_FORMAT"))
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _subject_model(event_model: type[models.Model]) -> type[models.Model]:
    related = event_model._meta.get_field("pgh_obj").related_model
    assert isinstance(related, type)  # noqa: S101 - narrows the type; pghistory always has it
    return related


def _people(events: Iterable[Any]) -> dict[int, str]:
    ids = {event.pgh_context.metadata.get("user") for event in events if event.pgh_context} - {None}
    return {user.pk: str(user) for user in User.objects.filter(pk__in=ids)}
