"""A member's points: how many, in which lots, and why."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty import ledger, pools, words
from loyalty.models import Entry, Lot, Tier
from members.api.naming import member_of
from members.conditions.facts import choices_kept
from members.models import Member
from staff.api import ApiView
from staff.api_access import PageQuery, Pages, page_of
from staff.api_input import Word, told
from staff.permissions import Scope

READS: dict[str, Scope] = {"GET": Scope.POINTS_READ}


class Expiring(serializers.Serializer[Any]):
    """The points that expire next."""

    points = serializers.IntegerField()
    expires_at = serializers.DateTimeField()


class Pool(serializers.Serializer[Any]):
    """What the active members of a household can spend together."""

    members = serializers.IntegerField()
    available = serializers.IntegerField()


class Balance(serializers.Serializer[Any]):
    """A member's points at this moment.

    ``balance`` holds pending points too, of which none can be spent, and is less by the ``debt`` that the
    next awards pay off. A redemption is paid from the ``pool`` where the member has a household, null without.
    """

    member = serializers.CharField()
    balance = serializers.IntegerField()
    debt = serializers.IntegerField()
    available = serializers.IntegerField()
    pending = serializers.IntegerField()
    expires_next = Expiring(allow_null=True)
    pool = Pool(allow_null=True)
    as_of = serializers.DateTimeField()


class LotRow(serializers.Serializer[Any]):
    """Points that one entry brought, and what is left of them. What expires first is spent first."""

    id = serializers.IntegerField()
    entry = serializers.IntegerField(source="entry_id")
    points = serializers.IntegerField()
    remaining = serializers.IntegerField()
    activates_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    state = serializers.ChoiceField(choices=[state.value for state in ledger.LotState])


class EntryRow(serializers.Serializer[Any]):
    """One movement of points, and why, in the language of the request.

    ``qualifying`` is what it counts for tiers; ``debt`` is by how much it raised the member's debt.
    """

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Entry.Kind.values)
    points = serializers.IntegerField()
    qualifying = serializers.IntegerField()
    debt = serializers.IntegerField()
    balance_after = serializers.IntegerField()
    occurred_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    reverses = serializers.IntegerField(allow_null=True)
    title = serializers.CharField()
    details = serializers.ListField(child=serializers.CharField())


_COPIED: Final = ("id", "kind", "points", "qualifying", "debt", "balance_after", "occurred_at", "created_at")


class LotQuery(PageQuery):
    """Which lots."""

    show = Word(["open", "all"], default="open", help_text="“open”: of which something is left.")


class BalanceView(ApiView):
    """A member's points."""

    scopes: ClassVar[dict[str, Scope]] = READS

    @extend_schema(operation_id="get_points", responses={200: Balance})
    def get(self, request: Request, number: str) -> Response:
        """How many points a member has, can spend, waits for, and loses next."""
        member, now = member_of(number), timezone.now()
        has = ledger.balances_of(member.pk, now)
        usable = ledger.usable_lots([member.pk], now)
        next_one = usable.exclude(expires_at=None).values("expires_at").first()
        expiring = None
        if next_one:
            losing = usable.filter(**next_one)
            expiring = {**next_one, "points": sum(losing.values_list("remaining", flat=True))}
        told = {
            "member": member.number,
            "balance": has.balance,
            "debt": has.debt,
            "available": has.available,
            "pending": has.pending + has.held,
            "expires_next": expiring,
            "pool": _pool(member, now),
            "as_of": now,
        }
        return Response(Balance(told).data)


class LotsView(ApiView):
    """A member's lots."""

    scopes: ClassVar[dict[str, Scope]] = READS

    @extend_schema(operation_id="list_lots", parameters=[LotQuery], responses={200: page_of(LotRow)})
    def get(self, request: Request, number: str) -> Response:
        """List the lots that a member's points lie in, the newest first."""
        asked = told(LotQuery, request.query_params)
        lots = Lot.objects.filter(member=member_of(number))
        if asked["show"] == "open":
            lots = lots.filter(remaining__gt=0)
        return Pages(request, asked).of(lots, partial(_lots, timezone.now()))


class EntriesView(ApiView):
    """A member's entries."""

    scopes: ClassVar[dict[str, Scope]] = READS

    @extend_schema(operation_id="list_entries", parameters=[PageQuery], responses={200: page_of(EntryRow)})
    def get(self, request: Request, number: str) -> Response:
        """List every movement of a member's points, the newest first, each with why it is there."""
        asked = told(PageQuery, request.query_params)
        return Pages(request, asked).of(Entry.objects.filter(member=member_of(number)), entries_told)


def _pool(member: Member, now: datetime) -> dict[str, int] | None:
    if member.household_id is None:
        return None
    payers = pools.payers(member.pk)
    return {"members": len(payers), "available": pools.available(payers, now)}


def _lots(now: datetime, lots: Sequence[Lot]) -> Sequence[Any]:
    for lot in lots:
        lot.state = ledger.state_of(lot, now)  # type: ignore[attr-defined]
    return list(LotRow(lots, many=True).data)


def entries_told(entries: Sequence[Entry]) -> Sequence[Any]:
    """The entries with why they are there; the tiers' names are read once for all of them."""
    tiers = {tier.key: tier for tier in Tier.objects.all()}
    with choices_kept():
        return [_entry(entry, tiers) for entry in entries]


def _entry(entry: Entry, tiers: dict[str, Tier]) -> Any:
    told = {name: getattr(entry, name) for name in _COPIED}
    told |= {"reverses": entry.reverses_id, "title": words.title(entry), "details": words.details(entry, tiers)}
    return EntryRow(told).data
