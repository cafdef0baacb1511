"""What the person who imports a file has said about it. Kept as JSON on the run."""

import zoneinfo
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

ATTRIBUTE = "attributes."


class OptionError(Exception):
    """An option cannot be meant as it stands; the text says which and why."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to read one file.

    ``columns`` maps a column of the file to a field of the kind, to ``attributes.NAME`` (kept beside
    the fields) or to an empty text (left out). ``translations``, ``date_formats`` and ``time_zones``
    are by column of the file; ``constants`` are by field, for what the file does not say.
    An empty ``encoding`` or ``delimiter`` is found out; an empty ``time_zone`` is the programme's.
    """

    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    decimal: str = "."
    columns: Mapping[str, str] = field(default_factory=dict)
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    date_formats: Mapping[str, str] = field(default_factory=dict)
    time_zones: Mapping[str, str] = field(default_factory=dict)
    time_zone: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    keep_good_rows: bool = False
    keep_rest: bool = True

    def __post_init__(self) -> None:
        for zone in (self.time_zone, *self.time_zones.values()):
            if zone and zone not in zoneinfo.available_timezones():
                raise OptionError(_("“%(zone)s” is not a time zone.") % {"zone": zone})
        if self.decimal not in {".", ","}:
            raise OptionError(_("The decimal sign is a point or a comma."))
        if len(self.delimiter) > 1:
            raise OptionError(_("The delimiter is one character."))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Options":
        """Read what :meth:`to_json` wrote. Names that are not known are refused."""
        known = {f.name for f in fields(cls)}
        unknown = set(data) - known
        if unknown:
            raise OptionError(_("Unknown option “%(name)s”.") % {"name": min(unknown)})
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        """The options as they are kept on the run."""
        return asdict(self)

    def zone_of(self, column: str) -> str:
        """The time zone of a column's times that name none themselves."""
        return self.time_zones.get(column) or self.time_zone or settings.TIME_ZONE
