"""The ledger as a whole: what the programme owes."""

from django.db.models import F, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from loyalty.liability import liability
from loyalty.models import Account
from staff.permissions import Permission, requires
from staff.requests import DeskRequest


@requires(Permission.PROGRAMME_VIEW)
@require_safe
def page(request: DeskRequest) -> HttpResponse:
    """Points outstanding, by when they expire, and whether balances add up to the same."""
    now = timezone.now()
    owed = liability(now)
    balances = Account.objects.aggregate(points=Sum(F("balance") + F("debt")))["points"] or 0
    return render(
        request,
        "loyalty/ledger.html",
        {"owed": owed, "balances": balances, "agrees": balances == owed.outstanding, "now": now},
    )
