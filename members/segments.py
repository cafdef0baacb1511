"""Segments: who is in them, since when, and building them.

Who is in a segment is kept in rows (``SegmentMember``), so that a condition on it is one look at an index and
an earning rule can ask who was in it when a purchase was made. A build brings the rows up to date by one
statement: who fulfils the conditions now against who was in it. Nobody else writes these rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from psycopg import sql

from members import conditions
from members.conditions import uses
from members.conditions.uses import Use
from members.models import Segment, SegmentBuild
from members.models.segments import DAILY_HOUR
from staff import audit, figures, jobs
from staff.models import Job, User
from staff.permissions import Permission

FACT: Final = "member.segment"
JOB: Final = "build-segments"
# Numbers of our own for advisory locks: writing definitions (so that no two make a circle), building one segment.
DEFINING, BUILDING = 5_107_011, 5_107_012

# One difference: who ought to be in it against who is. A full join is never done by going through one side for each
# row of the other: an anti join was, where statistics took the segment to be empty, and passed over each row that the
# same statement had inserted. ``statement_timestamp`` is read after the lock is held, so that no one leaves before
# they came.
DIFFERENCE: Final = """
WITH matching AS MATERIALIZED ({matching}),
known AS MATERIALIZED (
    SELECT member_id FROM members_segmentmember WHERE segment_id = {segment} AND left_at IS NULL
),
moved AS MATERIALIZED (
    SELECT matching.id AS comes, known.member_id AS goes FROM matching FULL JOIN known ON known.member_id = matching.id
     WHERE matching.id IS NULL OR known.member_id IS NULL
),
gone AS (
    UPDATE members_segmentmember s SET left_at = statement_timestamp()
      FROM moved WHERE s.segment_id = {segment} AND s.left_at IS NULL AND s.member_id = moved.goes
    RETURNING 1
),
come AS (
    INSERT INTO members_segmentmember (segment_id, member_id, entered_at)
    SELECT {segment}, comes, statement_timestamp() FROM moved WHERE comes IS NOT NULL
    RETURNING 1
)
SELECT (SELECT count(*) FROM matching), (SELECT count(*) FROM come), (SELECT count(*) FROM gone),
    statement_timestamp(), clock_timestamp() - statement_timestamp()
"""

LAST_OF_EACH_DAY: Final = """
SELECT DISTINCT ON ((built_at AT TIME ZONE %(zone)s)::date) *
  FROM members_segmentbuild WHERE segment_id = %(segment)s AND built_at >= %(since)s
 ORDER BY (built_at AT TIME ZONE %(zone)s)::date, built_at DESC
"""


class Circle(Exception):
    """Segments would contain each other; ``names`` goes round once, from the segment back to itself."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        super().__init__(" → ".join(names))


class InUse(Exception):
    """The segment is not deleted: ``uses`` still need it."""

    def __init__(self, found: Sequence[Use]) -> None:
        self.uses = found
        super().__init__(f"used by {len(found)}")


class BeingBuilt(Exception):
    """A build of the segment is under way just now."""


def contained_in(tree: Any) -> set[int]:
    """The ids of the segments that a tree asks about."""
    return {int(value) for value in uses.values_of(tree, FACT) if value.isdecimal() and len(value) < 19}


@transaction.atomic
def save(segment: Segment, *, user: User | None, members: Sequence[int] | None = None) -> Job | None:
    """Write a segment, new or changed; a dynamic one is built at once, by the job that is returned.

    ``members``, ids, become those of a static one; without them it keeps those that it has.
    Raises :class:`members.conditions.ConditionError` and :class:`Circle`.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DEFINING])
    if segment.is_dynamic:
        conditions.validate(segment.conditions)
        if names := _circle(segment):
            raise Circle(names)
    is_new = segment.pk is None
    if is_new:
        segment.created_by = user
        segment.save()
    else:
        segment.save(update_fields=["name", "conditions", "rhythm"])
    audit.record(user, "segment.create" if is_new else "segment.change", segment, detail={"kind": segment.kind})
    if members is not None:
        audit.record(user, "segment.list", segment, detail={"members": fill(segment, members).size})
    return start([segment.pk], user=user) if segment.is_dynamic else None


def _circle(segment: Segment) -> list[str]:
    """The way from the segment back to itself through segments that contain each other; empty where there is none."""
    if segment.pk is None:
        return []
    rows = {row.pk: row for row in Segment.objects.filter(kind=Segment.Kind.DYNAMIC)}
    rows[segment.pk] = segment

    # Looked through once each: of segments that share what they contain there are far too many ways.
    seen: set[int] = set()

    def way(pk: int) -> list[str]:
        seen.add(pk)
        for inner in contained_in(rows[pk].conditions) if pk in rows else ():
            if inner == segment.pk:
                return [rows[pk].name, segment.name]
            if inner not in seen and (found := way(inner)):
                return [rows[pk].name, *found]
        return []

    return way(segment.pk)


def used_by(segment: Segment) -> list[Use]:
    """The rules, audiences and other segments that ask who is in it."""
    return uses.of_choice(FACT, str(segment.pk))


def keep(key: str) -> Iterable[Use]:
    """Where this room keeps conditions: in segments."""
    for row in Segment.objects.filter(kind=Segment.Kind.DYNAMIC).order_by("name"):
        yield Use(_("Segment"), row.name, row.get_absolute_url(), Permission.MEMBERS_VIEW, row.conditions)


@transaction.atomic
def remove(segment: Segment, *, user: User | None) -> None:
    """Delete a segment and who was in it. Raises :class:`InUse` and :class:`BeingBuilt`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DEFINING])
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [BUILDING, segment.pk])
        if not cursor.fetchone()[0]:
            raise BeingBuilt
        if found := used_by(segment):
            raise InUse(found)
        audit.record(user, "segment.delete", segment, detail={"kind": segment.kind})
        cursor.execute("DELETE FROM members_segmentmember WHERE segment_id = %s", [segment.pk])
        cursor.execute("DELETE FROM members_segmentbuild WHERE segment_id = %s", [segment.pk])
    segment.delete()


# --- building ------------------------------------------------------------------------------------------


def start(ids: Sequence[int], *, user: User | None) -> Job:
    """Queue a build of these segments."""
    names = list(Segment.objects.filter(pk__in=ids).values_list("name", flat=True)[:2])
    title = _("Build “%(name)s”") % {"name": names[0]} if len(names) == 1 else _("Build segments")
    job = jobs.start(JOB, title=title, payload={"segments": list(ids)}, user=user)
    Segment.objects.filter(pk__in=ids).update(job=job)
    return job


def start_due(now: datetime) -> Job | None:
    """Queue a build of all whose time has come, unless one of these is still under way."""
    ids = due(now)
    if not ids or Job.objects.filter(kind=JOB, payload__due=True, finished_at=None).exists():
        return None
    payload = {"segments": ids, "due": True}
    return jobs.start(JOB, title=_("Build segments"), payload=payload, user=None)


def due(now: datetime) -> list[int]:
    """The dynamic segments that were not built since the hour, or the day's building time, began."""
    local = timezone.localtime(now, timezone.get_default_timezone())
    hour = local.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=DAILY_HOUR)
    if day > local:
        day -= timedelta(days=1)
    late = Q(rhythm=Segment.Rhythm.HOURLY, tried_at__lt=hour) | Q(rhythm=Segment.Rhythm.DAILY, tried_at__lt=day)
    found = Segment.objects.filter(late | Q(tried_at=None), kind=Segment.Kind.DYNAMIC)
    return list(found.order_by("pk").values_list("pk", flat=True))


@jobs.handler(JOB)
def run(job: Job, progress: jobs.Progress) -> dict[str, Any]:
    """Build the segments of the job, those that others contain first. One that fails leaves the rest to be built."""
    wanted = in_order(job.payload["segments"])
    built: list[Segment] = []
    failed: list[Segment] = []
    for number, pk in enumerate(wanted):
        segment = Segment.objects.filter(pk=pk).first()
        if segment is None or not segment.is_dynamic:
            continue
        progress.update(number, total=len(wanted), step=segment.name)
        try:
            build(segment)
        except conditions.ConditionError as error:
            Segment.objects.filter(pk=pk).update(problem=str(error)[:500], tried_at=timezone.now())
            failed.append(segment)
        else:
            built.append(segment)
    progress.update(len(wanted))
    if failed and not built:
        raise jobs.Failed(_("Not built: %(names)s") % {"names": ", ".join(segment.name for segment in failed)})
    return _told(built, failed)


def _told(built: Sequence[Segment], failed: Sequence[Segment]) -> dict[str, Any]:
    if len(built) == 1 and not failed:
        size = built[0].size
        said = ngettext("%(members)s member is in it.", "%(members)s members are in it.", size)
        summary = said % {"members": figures.number(size)}
    else:
        said = ngettext("%(number)s segment was built.", "%(number)s segments were built.", len(built))
        summary = said % {"number": figures.number(len(built))}
    if failed:
        summary += " " + _("Not built: %(names)s") % {"names": ", ".join(segment.name for segment in failed)}
    links = [{"label": segment.name, "url": segment.get_absolute_url()} for segment in [*failed, *built][:20]]
    return {"summary": summary, "links": links}


def in_order(ids: Iterable[int]) -> list[int]:
    """The ids so that a segment comes after those that it contains."""
    trees = dict(Segment.objects.filter(pk__in=list(ids)).order_by("name").values_list("pk", "conditions"))
    ordered: list[int] = []

    def add(pk: int) -> None:
        if pk in trees and pk not in ordered:
            for inner in sorted(contained_in(trees[pk]) - {pk}):
                add(inner)
            ordered.append(pk)

    for pk in trees:
        add(pk)
    return ordered


def build(segment: Segment) -> SegmentBuild:
    """Bring a dynamic segment up to date. Raises ConditionError; segments that it contains count as last built."""
    ids, parameters = conditions.members_sql(segment.conditions)
    return _fill(segment, ids, parameters)


def fill(segment: Segment, member_ids: Sequence[int]) -> SegmentBuild:
    """Make these the members of a static segment: who is not among them leaves it."""
    return _fill(segment, "SELECT DISTINCT unnest(%s::bigint[]) AS id", [list(member_ids)])


@transaction.atomic
def _fill(segment: Segment, matching: str, parameters: Sequence[Any]) -> SegmentBuild:
    """Bring the rows up to date and write down the build; repeating it changes nothing but that."""
    statement = sql.SQL(DIFFERENCE).format(matching=sql.SQL(matching), segment=sql.Literal(segment.pk))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [BUILDING, segment.pk])
        cursor.execute(statement.as_string(), parameters)
        size, entered, gone, at, took = cursor.fetchone()
    made = SegmentBuild.objects.create(
        segment=segment, built_at=at, built_in=took, size=size, entered=entered, gone=gone
    )
    segment.size, segment.built_at, segment.built_in, segment.tried_at, segment.problem = size, at, took, at, ""
    segment.save(update_fields=["size", "built_at", "built_in", "tried_at", "problem"])
    return made


# --- lists of numbers ----------------------------------------------------------------------------------

# So many numbers are looked up and written within a request.
MOST_NUMBERS: Final = 100_000
# Column heads that exports of numbers have.
HEADS: Final = frozenset({"number", "member", "member number", "会员号", "会员"})


@dataclass(frozen=True)
class Listed:
    """What a list of numbers means: the members found, and each number that nobody has, with its row."""

    members: list[int]
    unknown: list[tuple[int, str]]


def read_numbers(text: str) -> list[tuple[int, str]]:
    """Rows and numbers of a pasted or uploaded list: one a row, the first cell of each; a head is passed over."""
    found: list[tuple[int, str]] = []
    for row, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        cell = line.replace("\t", ",").replace(";", ",").partition(",")[0].strip().strip('"').strip()
        if cell and not (not found and cell.lower() in HEADS):
            found.append((row, cell))
    return found


def look_up(numbers: Sequence[tuple[int, str]]) -> Listed:
    """Who has these numbers, by one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT number, id FROM members_member WHERE number = ANY(%s)", [[number for _row, number in numbers]]
        )
        known = dict(cursor.fetchall())
    return Listed(
        members=list({known[number] for _row, number in numbers if number in known}),
        unknown=[(row, number) for row, number in numbers if number not in known],
    )


# --- reading -------------------------------------------------------------------------------------------


def names_of(member_id: int) -> list[tuple[str, int]]:
    """The names and ids of the segments that a member is in."""
    found = Segment.objects.filter(memberships__member_id=member_id, memberships__left_at=None)
    return list(found.order_by("name").values_list("name", "pk"))


def sizes(segment: Segment, since: datetime) -> list[SegmentBuild]:
    """The last build of each of the programme's days, oldest first."""
    asked = {"zone": timezone.get_default_timezone_name(), "segment": segment.pk, "since": since}
    return list(SegmentBuild.objects.raw(LAST_OF_EACH_DAY, asked))


def last_build(segment: Segment) -> SegmentBuild | None:
    """Its newest build."""
    return segment.builds.order_by(F("built_at").desc()).first()
