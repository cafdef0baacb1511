"""Which column of a file is which field: guessed from the names, then checked."""

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _

from members.importing.kinds import ImportKind
from members.importing.options import ATTRIBUTE, OptionError, Options


def plain(name: str) -> str:
    """A name as it is compared: lower case, letters and digits only."""
    return re.sub(r"[\W_]+", "", name.casefold())


def guess(kind: ImportKind, header: Sequence[str]) -> dict[str, str]:
    """The likely map from the file's columns to the kind's fields, by name, label and synonyms."""
    found: dict[str, str] = {}
    free = list(header)
    for column in kind.columns:
        names = [column.name, str(column.label), *column.synonyms]
        wanted = {plain(name): rank for rank, name in reversed(list(enumerate(names)))}
        likely = [name for name in free if plain(name) in wanted]
        if likely:
            best = min(likely, key=lambda name: wanted[plain(name)])
            found[best] = column.name
            free.remove(best)
    return found


def check_map(kind: ImportKind, header: Sequence[str], options: Options) -> None:
    """Refuse a map that names what is not there, maps two columns to one field, or lacks a required one."""
    known = {column.name for column in kind.columns}
    by_column = [options.columns, options.translations, options.date_formats, options.time_zones]
    for name in (name for mapping in by_column for name in mapping):
        if name not in header:
            raise OptionError(
                _("The file has no column “%(name)s”. It has: %(header)s.")
                % {"name": name, "header": ", ".join(header)}
            )
    taken: dict[str, str] = {}
    for name, target in options.columns.items():
        if not target:
            continue
        if target in taken:
            raise OptionError(
                _("Both “%(one)s” and “%(two)s” are mapped to “%(field)s”.")
                % {"one": taken[target], "two": name, "field": target}
            )
        taken[target] = name
        if target not in known and not (target.startswith(ATTRIBUTE) and len(target) > len(ATTRIBUTE)):
            raise OptionError(_unknown_field(kind, target))
    for target in options.constants:
        if target not in known:
            raise OptionError(_unknown_field(kind, target))
    missing = [
        column
        for column in kind.columns
        if column.required
        and column.name not in taken
        and not options.constants.get(column.name)
        and not column.default
    ]
    if missing:
        raise OptionError(
            _("No column of the file is mapped to: %(fields)s. The file has: %(header)s.")
            % {
                "fields": ", ".join(f"{column.label} ({column.name})" for column in missing),
                "header": ", ".join(header),
            }
        )


def warnings(kind: ImportKind, options: Options) -> list[str]:
    """What a person should know of a map before the rows are looked at."""
    mapped = {*options.columns.values(), *(name for name, text in options.constants.items() if text)}
    if not kind.needs_key or mapped.intersection(kind.key_columns):
        return []
    labels = [str(column.label) for column in kind.columns if column.name in kind.key_columns]
    return [
        _("No column of the file tells who is who, so every row will be refused. Map one of them to: %(fields)s.")
        % {"fields": ", ".join(labels)}
    ]


def _unknown_field(kind: ImportKind, target: str) -> str:
    return _("“%(field)s” is no field of this kind. It has: %(fields)s.") % {
        "field": target,
        "fields": ", ".join(column.name for column in kind.columns),
    }
