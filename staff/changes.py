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
from django.db.models import OuterRef, Q, Subquery
from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from pghistory.models import Event

from staff import paging
from staff.models import User

LONGEST = 120


@dataclass(frozen=True)
class Difference:
    """One field that changed. ``before`` is empty for a new row."""

    field: str
    before: str
    after: str


@dataclass(frozen=True)
class Place:
    """After which change a page begins: its time, and because many are made at once, its model and key."""

    at: datetime
    model: str
    key: int

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """From an address; None where it makes no sense."""
        moment, model, key = [*text.split("_", 2), "", ""][:3]
        at = paging.moment_in(moment)
        return cls(at, model, int(key)) if at and key.isdecimal() and len(key) < 10 else None

    def __str__(self) -> str:
        return f"{self.at.isoformat()}_{self.model}_{self.key}"

    def rest_of(self, model: str) -> Q:
        """Which events of a model come after it: those of one moment by the names of their models, then the newest."""
        earlier, then = Q(pgh_created_at__lt=self.at), Q(pgh_created_at=self.at)
        if model == self.model:
            return earlier | then & Q(pgh_id__lt=self.key)
        return earlier | then if model > self.model else earlier


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one row."""

    place: Place
    who: str
    model: str
    subject: str
    label: str
    differences: Sequence[Difference]

    @property
    def at(self) -> datetime:
        """When it was made."""
        return self.place.at

    @property
    def is_new(self) -> bool:
        """Whether the row was made by it."""
        return self.label == "insert"

    @property
    def is_removed(self) -> bool:
        """Whether the row is gone since."""
        return self.label == "delete"


def tracked() -> list[type[Event]]:
    """The event models of all rooms, by the name of what they are of."""
    models_ = [model for model in apps.get_models() if issubclass(model, Event) and model._meta.managed]
    return sorted(models_, key=_label)


def newest(*, after: Place | None = None, model: str = "", limit: int = 50) -> list[Change]:
    """The newest changes, of one tracked model (``loyalty.tier``) or of all, from a place in the list on."""
    events: list[Any] = []
    for event_model in tracked():
        label = _label(event_model)
        if not model or label == model:
            rows: Any = event_model._default_manager.filter(after.rest_of(label) if after else Q())
            events += rows.select_related("pgh_context").order_by("-pgh_created_at", "-pgh_id")[:limit]
    # Sorting keeps the order of equals: models by name, and of each the newest first.
    events = sorted(events, key=lambda event: event.pgh_created_at, reverse=True)[:limit]
    known = _Known(events)
    return [known.change(event) for event in events]


def model_choices() -> list[tuple[str, str]]:
    """The tracked models for a filter: label and words."""
    subjects = [_subject_model(event_model) for event_model in tracked()]
    return [(subject._meta.label_lower, _(str(subject._meta.verbose_name))) for subject in subjects]


class _Known:
    """What it takes to read events: who made them, what they are of, and what was before; asked once for each model."""

    def __init__(self, events: Iterable[Any]) -> None:
        by_model: dict[type[Event], list[Any]] = {}
        for event in events:
            by_model.setdefault(type(event), []).append(event)
        self.people = _people(events)
        self.subjects = {model: _subjects(model, found) for model, found in by_model.items()}
        self.before = {model: _before(model, found) for model, found in by_model.items()}

    def change(self, event: Any) -> Change:
        """One event as a change."""
        model = type(event)
        metadata = event.pgh_context.metadata if event.pgh_context else {}
        return Change(
            place=Place(event.pgh_created_at, _label(model), event.pgh_id),
            who=self.people.get(metadata.get("user") or 0, _("system")),
            model=_(str(_subject_model(model)._meta.verbose_name)),
            subject=self.subjects[model].get(event.pgh_obj_id, f"#{event.pgh_obj_id}"),
            label=event.pgh_label,
            differences=list(_differences(self.before[model].get(event.pgh_id), event)),
        )


def _subjects(event_model: type[Event], events: Iterable[Any]) -> dict[int, str]:
    """What the rows are called now, by key; those that are gone have no name."""
    found = _subject_model(event_model)._default_manager.select_related()
    return {row.pk: str(row) for row in found.filter(pk__in={event.pgh_obj_id for event in events})}


def _before(event_model: type[Event], events: Iterable[Any]) -> dict[int, Any]:
    """The event before each of these in the history of the same row."""
    history: Any = event_model._default_manager
    older = history.filter(pgh_obj_id=OuterRef("pgh_obj_id"), pgh_id__lt=OuterRef("pgh_id")).order_by("-pgh_id")
    pairs = dict(
        history.filter(pgh_id__in=[event.pgh_id for event in events])
        .annotate(older=Subquery(older.values("pgh_id")[:1]))
        .values_list("pgh_id", "older")
    )
    found = history.in_bulk({older for older in pairs.values() if older})
    return {key: found[older] for key, older in pairs.items() if older}


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


def _label(event_model: type[models.Model]) -> str:
    return _subject_model(event_model)._meta.label_lower


def _subject_model(event_model: type[models.Model]) -> type[models.Model]:
    related = event_model._meta.get_field("pgh_obj").related_model
    assert isinstance(related, type)  # noqa: S101 - narrows the type; pghistory always has it
    return related


def _people(events: Iterable[Any]) -> dict[int, str]:
    ids = {event.pgh_context.metadata.get("user") for event in events if event.pgh_context} - {None}
    return {user.pk: str(user) for user in User.objects.filter(pk__in=ids)}
