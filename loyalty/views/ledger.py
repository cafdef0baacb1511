"""The ledger as a whole: what the programme owes, how it came to be, and the entries behind each figure."""

from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter

from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from loyalty import charts, expiring, words
from loyalty.expiring import Place, Window
from loyalty.ledger import sealing
from loyalty.liability import COLUMNS, Movement, liability
from loyalty.models import Entry, Tier
from loyalty.months import month_of, months_after, start_of_day
from members.conditions.facts import choices_kept
from members.models import Member
from staff import figures
from staff.axes import month_words
from staff.exports import csv_response
from staff.paging import SIZE, newest_first, page_of
from staff.permissions import Permission, requires
from staff.requests import DeskRequest

CSV_CHUNK = 2_000
MONTHS_SHOWN = 12
WARNINGS = (7, 30, 90)
DEBT = "debt"


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def page(request: DeskRequest) -> HttpResponse:
    """Points outstanding, their movement, when they expire, and what is expected not to be used."""
    now = timezone.now()
    owed = liability(now)
    shown = owed.movements if request.GET.get("months") == "all" else owed.movements[-MONTHS_SHOWN:]
    windows = [(days, *expiring.within_days(now, days).count()) for days in WARNINGS]
    context = {
        "owed": owed,
        "now": now,
        "point_value": figures.money(owed.point_value, places=_places(owed.point_value)),
        "sealed": sealing.state(now),
        "movements": [_cells(movement) for movement in reversed(shown)],
        "has_debt": any(movement.debt for movement in shown),
        "has_more": len(shown) < len(owed.movements),
        "outstanding_chart": charts.outstanding(owed.movements),
        "expiry_chart": charts.expiries(owed.expiries, [_expiring_url(row.month) for row in owed.expiries]),
        "expiries": [(row, _expiring_url(row.month)) for row in owed.expiries if row.points],
        "windows": windows,
        "columns": column_words(),
    }
    return render(request, "loyalty/ledger.html", context)


def _places(value: Decimal) -> int:
    """Two decimals, or as many as a value has."""
    return max(2, -int(value.normalize().as_tuple().exponent))


def column_words() -> dict[str, str]:
    """What the columns of the movement are called."""
    return {
        "issued": _("Issued"),
        "redeemed": _("Redeemed"),
        "expired": _("Expired"),
        "adjusted": _("Adjusted"),
        "reversed": _("Reversed"),
        "transferred": _("Transferred"),
    }


def _cells(movement: Movement) -> tuple[Movement, list[tuple[int, str]], str]:
    """A month with, for each column, its points and the address of its entries; and the address of its debts."""
    columns = [(points, _entries_url(movement.month, name)) for name, points in movement.columns.items()]
    return movement, columns, _entries_url(movement.month, DEBT)


def _entries_url(month: date, column: str) -> str:
    return f"{reverse('loyalty:ledger-entries')}?month={month:%Y-%m}&column={column}"


def _expiring_url(month: date | None) -> str:
    return f"{reverse('loyalty:ledger-expiring')}?month={month:%Y-%m}" if month else ""


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def movement_csv(request: DeskRequest) -> StreamingHttpResponse:
    """The movement of every month as a file."""
    owed = liability(timezone.now())
    columns = [word.lower() for word in column_words().values()]
    head = [_("month"), _("opening"), *columns, _("debt"), _("closing"), _("closing value"), _("as of")]
    rows = (
        [
            f"{movement.month:%Y-%m}",
            movement.opening,
            *movement.columns.values(),
            movement.debt,
            movement.closing,
            movement.closing * owed.point_value,
            owed.at,
        ]
        for movement in owed.movements
    )
    return csv_response("ledger-movement", head, rows)


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def expiry_csv(request: DeskRequest) -> StreamingHttpResponse:
    """The expiry forecast as a file."""
    owed = liability(timezone.now())
    rows = ([_month_key(row.month), row.points, _rounded(row.unspent), owed.at] for row in owed.expiries)
    return csv_response("ledger-expiry", [_("month"), _("points"), _("expected unspent"), _("as of")], rows)


def _month_key(month: date | None) -> str:
    return f"{month:%Y-%m}" if month else "never"


def _rounded(points: float | None) -> int | None:
    return None if points is None else round(points)


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def entries(request: DeskRequest) -> HttpResponse:
    """The very entries that one figure of the movement adds up, newest first."""
    month, column = _asked(request)
    found = _entries(month, column)
    total = found.aggregate(points=Sum("debt" if column == DEBT else "points"))["points"] or 0
    page = newest_first(found, request.GET, by="occurred_at")
    # No join: the member of an undone import is gone, its entries are not.
    members = Member.objects.in_bulk({entry.member_id for entry in page.rows})
    tiers = {tier.key: tier for tier in Tier.objects.all()}
    with choices_kept():
        told = [
            (entry, members.get(entry.member_id), words.title(entry), words.details(entry, tiers))
            for entry in page.rows
        ]
    return render(
        request,
        "loyalty/ledger_entries.html",
        {
            "month": month_words(f"{month:%Y-%m}"),
            "column": _("Debt") if column == DEBT else column_words()[column],
            "is_debt": column == DEBT,
            "total": total,
            "rows": told,
            "page": page,
            "csv_url": f"{reverse('loyalty:ledger-entries-csv')}?month={month:%Y-%m}&column={column}",
            "may_view_members": request.user.may(Permission.MEMBERS_VIEW),
            "now": timezone.now(),
        },
    )


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def entries_csv(request: DeskRequest) -> StreamingHttpResponse:
    """The same entries as a file; member numbers only, as it leaves the desk."""
    month, column = _asked(request)
    number = Member.objects.filter(pk=OuterRef("member_id")).values("number")
    found = _entries(month, column).annotate(number=Subquery(number)).order_by("occurred_at", "pk")
    head = [_("entry"), _("time"), _("member"), _("kind"), _("points"), _("debt"), _("balance after")]
    rows = (
        [entry.pk, entry.occurred_at, entry.number, entry.kind, entry.points, entry.debt, entry.balance_after]
        for entry in found.iterator(CSV_CHUNK)
    )
    return csv_response(f"ledger-{month:%Y-%m}-{column}", head, rows)


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def expiring_members(request: DeskRequest) -> HttpResponse:
    """The members whose points expire within so many days, or in one month; those with the most first."""
    now = timezone.now()
    window, what, query = _window(request, now)
    found = window.page(Place.read(request.GET.get("after", "")), SIZE + 1)
    page = page_of(found, request.GET, place=attrgetter("place"), size=SIZE)
    members, points = window.count()
    return render(
        request,
        "loyalty/ledger_expiring.html",
        {
            "what": what,
            "members": members,
            "points": points,
            "page": page,
            "csv_url": f"{reverse('loyalty:ledger-expiring-csv')}?{query}",
            "choices": [(str(days), _("within %(days)d days") % {"days": days}) for days in WARNINGS],
            "by_days": query.startswith("days"),
            "may_view_members": request.user.may(Permission.MEMBERS_VIEW),
            "now": now,
        },
    )


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def expiring_csv(request: DeskRequest) -> StreamingHttpResponse:
    """The same members as a file."""
    window, _what, query = _window(request, timezone.now())
    rows = ([row.member.number if row.member else "", row.points, row.first_at] for row in window.all())
    return csv_response(f"expiring-{query.replace('=', '-')}", [_("member"), _("points"), _("first expires at")], rows)


def _window(request: DeskRequest, now: datetime) -> tuple[Window, str, str]:
    """The window that an address asks for, in words, and its query."""
    if request.GET.get("month"):
        month = _month(request.GET["month"])
        if not month_of(now) <= month <= months_after(month_of(now), 1_200):
            raise Http404(_("Points expire from this month on."))
        key = f"{month:%Y-%m}"
        return expiring.in_month(now, month), month_words(key), f"month={key}"
    text = request.GET.get("days", "")
    days = int(text) if text.isdecimal() and 0 < len(text) < 4 and int(text) else expiring.WARN_DAYS
    return expiring.within_days(now, days), _("within %(days)d days") % {"days": days}, f"days={days}"


def _asked(request: DeskRequest) -> tuple[date, str]:
    """The month and the column of an address."""
    column = request.GET.get("column", "")
    if column not in {*COLUMNS, DEBT}:
        raise Http404(_("The ledger has no such column."))
    return _month(request.GET.get("month", "")), column


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").date()  # noqa: DTZ007 (a month has no time)
    except ValueError:
        raise Http404(_("“%(text)s” is no month.") % {"text": text[:20]}) from None


def _entries(month: date, column: str) -> QuerySet[Entry]:
    """The entries of a cell of the movement. What happened "later" than this month counts in this one."""
    which = ~Q(debt=0) if column == DEBT else Q(kind__in=COLUMNS[column])
    found = Entry.objects.filter(which, occurred_at__gte=start_of_day(month))
    if month >= month_of(timezone.now()):
        return found
    return found.filter(occurred_at__lt=start_of_day(months_after(month, 1)))
