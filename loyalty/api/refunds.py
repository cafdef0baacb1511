"""Refunds from tills and shops: one, or a thousand at once."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from django.db.models import prefetch_related_objects
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty.api import batches
from loyalty.api.refusals import refusing
from loyalty.intake import RecordedRefund, RefundLineInput, record_refund, record_refunds
from loyalty.intake.refund_batch import Outcome
from members.api.naming import label_of
from members.models import Refund
from staff.api import ApiView
from staff.api_input import CURRENCY, NAME, Amount, Digits, Input, Items, Moment, Text, Whole, told
from staff.idempotency import caller_of, key_of, once
from staff.permissions import Scope
from staff.problems import Problem


class RefundLineGiven(Input):
    """What is given back of one line: a quantity, an amount, both, or all that is left of it."""

    line_no = Whole(least=1, most=100_000)
    quantity = Digits(whole=8, decimals=3, required=False)
    amount = Amount(required=False)


class RefundInput(Input):
    """What is given back of a purchase. Without ``amount`` and ``lines`` all that is left of it."""

    external_id = Text(
        longest=120,
        shortest=1,
        pattern=NAME,
        required=False,
        help_text="Your own id of the refund. Without one, the request's key stands for it.",
    )
    purchase = Text(longest=128, shortest=1, pattern=NAME, help_text="The receipt, or the key that it has instead.")
    refunded_at = Moment()
    amount = Amount(required=False, help_text="In the currency of the purchase.")
    currency = Text(longest=3, pattern=CURRENCY, required=False, help_text="Refused where it is not the purchase's.")
    lines = Items(child=RefundLineGiven(), most=200, least=0, default=list)
    reason = Text(longest=200, default="")


class RefundBatch(Input):
    """Refunds, each done after the one before it."""

    refunds = Items(child=RefundInput(), most=batches.MOST)


class RefundRow(serializers.ModelSerializer[Refund]):
    """A refund, and what it did to the member's points.

    ``waiting``: its purchase has not come yet. ``debt`` is what the member owes because it was spent.
    """

    purchase = serializers.CharField(source="purchase_key")
    member = serializers.CharField(source="member.number", default=None, allow_null=True)
    points_taken = serializers.IntegerField()
    points_returned = serializers.IntegerField()
    debt = serializers.IntegerField()

    class Meta:
        model = Refund
        fields = (
            "key",
            "external_id",
            "purchase",
            "member",
            "state",
            "refunded_at",
            "amount",
            "currency",
            "value",
            "points_taken",
            "points_returned",
            "debt",
        )
        read_only_fields = fields


class RefundsView(ApiView):
    """Refunds."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.REFUNDS_WRITE}

    @extend_schema(operation_id="create_refund", request=RefundInput, responses={200: RefundRow, 201: RefundRow})
    def post(self, request: Request) -> HttpResponse:
        """Take in one refund: 201 where it is new, 200 where it is there with the same content."""
        given = told(RefundInput, request.data)
        own_key = f"api:{caller_of(request)}:{key_of(request)}"

        def record() -> Response:
            done = _record(given, own_key, label_of(request))
            return Response(_written(done), status=201 if done.is_new else 200)

        return once(request, record)


class RefundBatchView(ApiView):
    """Many refunds at once."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.REFUNDS_WRITE}

    @extend_schema(operation_id="create_refunds", request=RefundBatch, responses={200: batches.results_of(RefundRow)})
    def post(self, request: Request) -> HttpResponse:
        """Take in up to 1,000 refunds; those that are refused leave the others alone."""
        given = told(RefundBatch, request.data)["refunds"]
        own_key = f"api:{caller_of(request)}:{key_of(request)}"
        return once(request, lambda: _record_all(given, own_key, label_of(request)))


def _record_all(given: Sequence[Mapping[str, Any]], own_key: str, label: str) -> Response:
    asked = [_arguments(item, f"{own_key}:{index}") for index, item in enumerate(given)]
    with refusing():
        outcomes = record_refunds(asked, label=label)
    done = [_told_of(outcome) for outcome in outcomes]
    prefetch_related_objects([one.refund for one in done if not isinstance(one, Problem)], "member")
    return batches.answer([one if isinstance(one, Problem) else (_written(one), one.is_new) for one in done])


def _told_of(outcome: Outcome) -> RecordedRefund | Problem:
    if isinstance(outcome, RecordedRefund):
        return outcome
    try:
        with _refusing():
            raise outcome
    except Problem as refusal:
        return refusal


def _record(item: Mapping[str, Any], own_key: str, label: str) -> RecordedRefund:
    with _refusing():
        return record_refund(**_arguments(item, own_key), label=label)


def _refusing() -> AbstractContextManager[None]:
    return refusing(time="refunded_at", key="external_id")


def _arguments(item: Mapping[str, Any], own_key: str) -> dict[str, Any]:
    """The arguments of ``record_refund``."""
    outside = item.get("external_id", "")
    return {
        "key": outside or own_key,
        "external_id": outside,
        "purchase_key": item["purchase"],
        "refunded_at": item["refunded_at"],
        "amount": item.get("amount"),
        "currency": item.get("currency", ""),
        "lines": [RefundLineInput(**line) for line in item["lines"]],
        "reason": item["reason"],
    }


def _written(done: RecordedRefund) -> Any:
    refund = done.refund
    for name in ("points_taken", "points_returned", "debt"):
        setattr(refund, name, getattr(done, name))
    return RefundRow(refund).data
