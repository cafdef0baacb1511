"""Purchases from tills and shops: one, a thousand at once, and what became of them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.db.models import Sum, prefetch_related_objects
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty.api import batches
from loyalty.api.refusals import refusing
from loyalty.api.releasing import RELEASED, release
from loyalty.intake import LineInput, Recorded, record_purchases, record_within
from loyalty.intake.batch import Outcome
from loyalty.intake.lines import to_cents
from loyalty.models import Entry
from members import references
from members.api.naming import MemberName, member_of, unknown
from members.models import Purchase, PurchaseLine
from staff.api import ApiView, Row
from staff.api_access import PageQuery, Pages, page_of
from staff.api_input import (
    CURRENCY,
    LARGEST_ID,
    NAME,
    Amount,
    Digits,
    Input,
    Items,
    Moment,
    Nothing,
    Text,
    Whole,
    told,
)
from staff.idempotency import caller_of, key_of, once
from staff.permissions import Scope
from staff.problems import Problem

# The column of a purchase's value has twelve digits before the point.
LARGEST_VALUE: Final = Decimal(10) ** 12


class Line(Input):
    """One line of a purchase. ``amount`` is for the whole quantity."""

    line_no = Whole(least=1, most=100_000, required=False, help_text="Without it, its place.")
    sku = Text(longest=64, default="")
    product = Text(longest=200, default="")
    brand = Text(longest=64, default="")
    category = Text(longest=64, default="")
    quantity = Digits(whole=8, decimals=3, default=Decimal(1))
    amount = Amount()


class Basket(Input):
    """What a member buys at one time."""

    member = MemberName()
    amount = Amount(help_text="What is paid.")
    currency = Text(longest=3, pattern=CURRENCY, required=False, help_text="Without it, the programme's.")
    rate = Digits(whole=9, decimals=8, required=False, help_text="Programme currency per unit of another.")
    channel = Text(longest=32, default="")
    store = Text(longest=64, default="")
    category = Text(longest=64, default="")
    lines = Items(child=Line(), most=200, least=0, default=list)
    discount = Amount(default=Decimal(0), help_text="On the whole purchase, to be shared by its lines.")
    charges = Amount(default=Decimal(0), help_text="What stands on no line, like delivery.")


class PurchaseInput(Basket):
    """What a member bought at one time."""

    receipt = Text(
        longest=120,
        shortest=1,
        pattern=NAME,
        required=False,
        help_text="Its own number, the same in an import. Without one, the request's key stands for it.",
    )
    purchased_at = Moment()


class OnePurchase(PurchaseInput):
    """A purchase by itself, which points may have paid for."""

    redemptions = Items(
        child=Whole(least=1, most=LARGEST_ID),
        most=20,
        least=0,
        default=list,
        help_text="Redemptions of the member that paid a part of it: a refund gives their points back.",
    )


class PurchaseBatch(Input):
    """Purchases in any order; earlier ones of a member should stand before later ones."""

    purchases = Items(child=PurchaseInput(), most=batches.MOST)


class LineRow(Row[PurchaseLine]):
    """One line, with what was really paid for it."""

    class Meta:
        model = PurchaseLine
        fields = ("line_no", "sku", "product", "brand", "category", "quantity", "amount", "value")
        read_only_fields = fields


class PurchaseRow(Row[Purchase]):
    """A purchase. ``value`` is in the programme's currency; ``points`` is what stands for it in the ledger now."""

    member = serializers.CharField(source="member.number")
    receipt = serializers.CharField(source="external_id")
    points = serializers.SerializerMethodField()

    class Meta:
        model = Purchase
        fields: tuple[str, ...] = (
            "key",
            "member",
            "receipt",
            "purchased_at",
            "amount",
            "currency",
            "rate",
            "value",
            "refunded_value",
            "channel",
            "store",
            "category",
            "points",
        )
        read_only_fields: tuple[str, ...] = fields

    @extend_schema_field({"type": "integer"})
    def get_points(self, purchase: Purchase) -> int:
        """Earned, less what refunds and undone imports took back."""
        points: dict[int, int] = self.context["points"]
        return points.get(purchase.pk, 0)


class WholePurchase(PurchaseRow):
    """A purchase with its lines."""

    lines = LineRow(many=True)

    class Meta(PurchaseRow.Meta):
        fields = (*PurchaseRow.Meta.fields, "lines")
        read_only_fields = fields


class PurchaseQuery(PageQuery):
    """Which purchases."""

    member = MemberName(required=False)
    receipt = Text(longest=120, shortest=1, required=False)


class PurchasesView(ApiView):
    """All purchases."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.PURCHASES_READ, "POST": Scope.PURCHASES_WRITE}

    @extend_schema(
        operation_id="list_purchases",
        parameters=[PurchaseQuery],
        responses={200: page_of(PurchaseRow)},
    )
    def get(self, request: Request) -> Response:
        """List purchases, the last taken in first; of one member, or of one receipt."""
        asked = told(PurchaseQuery, request.query_params)
        rows = Purchase.objects.select_related("member")
        if "member" in asked:
            rows = rows.filter(member=member_of(asked["member"]))
        if "receipt" in asked:
            rows = rows.filter(key=asked["receipt"])
        return Pages(request, asked).of(rows, _written)

    @extend_schema(
        operation_id="create_purchase",
        request=OnePurchase,
        responses={200: WholePurchase, 201: WholePurchase},
    )
    def post(self, request: Request) -> HttpResponse:
        """Take in one purchase: 201 where it is new, 200 where its receipt is there with the same content."""
        given = told(OnePurchase, request.data)
        own_key = f"api:{caller_of(request)}:{key_of(request)}"

        def record() -> Response:
            member = member_of(given["member"], "member")
            recorded = _record(given, own_key, member.pk)
            purchase = recorded.purchase
            purchase.member = member  # known already, as its points and lines are: they need not be looked for again
            points = {purchase.pk: recorded.points} if recorded.stands else _points_of([purchase])
            return Response(_whole(purchase, recorded.lines, points), status=201 if recorded.is_new else 200)

        return once(request, record)


class PurchaseBatchView(ApiView):
    """Many purchases at once."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.PURCHASES_WRITE}

    @extend_schema(
        operation_id="create_purchases", request=PurchaseBatch, responses={200: batches.results_of(PurchaseRow)}
    )
    def post(self, request: Request) -> HttpResponse:
        """Take in up to 1,000 purchases; those that are refused leave the others alone."""
        given = told(PurchaseBatch, request.data)["purchases"]
        own_key = f"api:{caller_of(request)}:{key_of(request)}"
        return once(request, lambda: _record_all(given, own_key))


class PurchaseView(ApiView):
    """One purchase."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.PURCHASES_READ}

    @extend_schema(operation_id="get_purchase", responses={200: WholePurchase})
    def get(self, request: Request, key: str) -> Response:
        """Read one purchase by its receipt, or by the key that it has instead."""
        purchase = _purchase(key)
        return Response(_whole(purchase, list(purchase.lines.all()), _points_of([purchase])))


class ReleaseView(ApiView):
    """Releasing the points of a purchase that wait for an event."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.PURCHASES_WRITE}

    @extend_schema(operation_id="release_points", request=Nothing, responses=RELEASED)
    def post(self, request: Request, key: str) -> HttpResponse:
        """Let the held points of a purchase be used from now on: it was delivered, or cannot be returned any more."""
        told(Nothing, request.data)
        return once(request, lambda: release(request, _purchase(key)))


def _purchase(key: str) -> Purchase:
    purchase = Purchase.objects.select_related("member").prefetch_related("lines").filter(key=key).first()
    if purchase is None:
        text = _("There is no purchase %(key)s.") % {"key": key[:60]}
        raise Problem(404, "unknown-purchase", text)
    return purchase


def _record_all(given: Sequence[Mapping[str, Any]], own_key: str) -> Response:
    members = references.ids_of({item["member"] for item in given})
    sales = [_sale(item, f"{own_key}:{index}", members) for index, item in enumerate(given)]
    with refusing():
        recorded = iter(record_purchases([sale for sale in sales if not isinstance(sale, Problem)]))
    done = [sale if isinstance(sale, Problem) else _told_of(next(recorded)) for sale in sales]
    made = {one[0].pk for one in done if not isinstance(one, Problem)}
    rows = list(Purchase.objects.select_related("member").filter(pk__in=made))
    told = dict(zip([purchase.pk for purchase in rows], _written(rows), strict=True))
    return batches.answer([one if isinstance(one, Problem) else (told[one[0].pk], one[1]) for one in done])


def _sale(item: Mapping[str, Any], own_key: str, members: Mapping[str, int]) -> dict[str, Any] | Problem:
    """What intake is given for one purchase of a batch."""
    if item["member"] not in members:
        return unknown(item["member"], "member")
    try:
        return _arguments(item, own_key, members[item["member"]])
    except Problem as refusal:
        return refusal


def _told_of(outcome: Outcome) -> tuple[Purchase, bool] | Problem:
    if isinstance(outcome, tuple):
        return outcome
    try:
        with refusing(time="purchased_at", key="receipt"):
            raise outcome
    except Problem as refusal:
        return refusal


def _arguments(item: Mapping[str, Any], own_key: str, member_id: int) -> dict[str, Any]:
    """The arguments of ``record_purchase``. Raises :class:`Problem` for what no column holds."""
    check_size(item)
    receipt = item.get("receipt", "")
    told = {name: value for name, value in item.items() if name not in {"member", "receipt", "lines"}}
    return told | {"member_id": member_id, "key": receipt or own_key, "receipt": receipt, "lines": lines_of(item)}


def check_size(basket: Mapping[str, Any]) -> None:
    """Refuse what no column holds."""
    if to_cents(basket["amount"] * basket.get("rate", 1)) >= LARGEST_VALUE:
        raise Problem(422, "too-large", _("This is too large."), "amount")


def lines_of(basket: Mapping[str, Any]) -> list[LineInput]:
    """The lines of a basket, for intake."""
    return [LineInput(**line) for line in basket["lines"]]


def _record(item: Mapping[str, Any], own_key: str, member_id: int) -> Recorded:
    with refusing(time="purchased_at", key="receipt"):
        return record_within(**_arguments(item, own_key, member_id))


def _whole(purchase: Purchase, lines: Sequence[PurchaseLine], points: Mapping[int, int]) -> Any:
    """As :class:`WholePurchase` describes it."""
    told = PurchaseRow(purchase, context={"points": points}).data
    return told | {"lines": LineRow(lines, many=True).data}


def _written(purchases: Sequence[Purchase]) -> Sequence[Any]:
    prefetch_related_objects(purchases, "member")
    return list(PurchaseRow(purchases, many=True, context={"points": _points_of(purchases)}).data)


def _points_of(purchases: Sequence[Purchase]) -> dict[int, int]:
    """What stands in the ledger for each of these, by id; in one query."""
    entries = Entry.objects.filter(purchase__in=purchases)
    return dict(entries.values_list("purchase_id").annotate(points=Sum("points")))
