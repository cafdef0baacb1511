"""What a basket would earn, and why."""

from functools import partial
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from loyalty import words
from loyalty.api.purchases import Basket, check_size, lines_of
from loyalty.api.refusals import refusing
from loyalty.intake.quoting import quote
from loyalty.models import Tier
from loyalty.rules import reasons
from members.api.naming import member_of
from members.conditions.facts import choices_kept
from staff.api import ApiView
from staff.api_access import may
from staff.api_input import Moment, told
from staff.idempotency import once
from staff.permissions import Scope


class QuoteInput(Basket):
    """A basket that is not paid yet."""

    purchased_at = Moment(required=False, help_text="Without it, now.")


class Earning(serializers.Serializer[Any]):
    """What one rule would give, and why (each limit that cut it, too), in the language of the request."""

    rule = serializers.CharField()
    points = serializers.IntegerField()
    qualifying = serializers.IntegerField()
    expires_at = serializers.DateTimeField(allow_null=True)
    details = serializers.ListField(child=serializers.CharField())


class NotEarned(serializers.Serializer[Any]):
    """A rule that would give nothing: each condition that failed with what was found instead, or the limit.

    What was found is left out where it is personal (age, attributes, segments) and the scope members.contacts missing.
    """

    rule = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())


class QuoteAnswer(serializers.Serializer[Any]):
    """What the basket would earn now; nothing is promised or written."""

    member = serializers.CharField()
    value = serializers.DecimalField(max_digits=None, decimal_places=2, help_text="In the programme's currency.")
    points = serializers.IntegerField()
    earnings = Earning(many=True)
    not_earned = NotEarned(many=True)


class QuotesView(ApiView):
    """Quotes."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.QUOTES_READ}

    @extend_schema(operation_id="create_quote", request=QuoteInput, responses={200: QuoteAnswer})
    def post(self, request: Request) -> HttpResponse:
        """Say what a basket would earn for a member, why, and why not more. Nothing is written."""
        given = told(QuoteInput, request.data)
        return once(
            request,
            lambda: _quote(given, tells_person=may(request, Scope.MEMBERS_CONTACTS)),
            shown=partial(_still_told, request),
        )


def _still_told(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
    """Of a quote that is said again, what the caller may know now: their key may have lost a scope meanwhile.

    Which reasons say something personal is not to be told from the words, so none are said again.
    """
    if may(request, Scope.MEMBERS_CONTACTS):
        return answer
    return answer | {"not_earned": [one | {"reasons": []} for one in answer["not_earned"]]}


def _quote(given: dict[str, Any], *, tells_person: bool) -> Response:
    check_size(given)
    member = member_of(given["member"], "member")
    basket = {name: value for name, value in given.items() if name not in {"member", "lines", "purchased_at"}}
    with refusing(time="purchased_at"):
        recorded, refusals = quote(
            member_id=member.pk,
            at=given.get("purchased_at") or timezone.now(),
            lines=lines_of(given),
            **basket,
        )
    tiers = {tier.key: tier for tier in Tier.objects.all()}
    earnings = [
        {
            "rule": entry.explanation["rule"],
            "points": entry.points,
            "qualifying": entry.qualifying,
            "expires_at": entry.lot.expires_at,
            "details": words.details(entry, tiers),
        }
        for entry in recorded.entries
    ]
    with choices_kept():
        not_earned = [
            {"rule": refusal.terms.rule, "reasons": reasons.why_not(refusal, tells_person=tells_person)}
            for refusal in refusals
        ]
    answer = {
        "member": member.number,
        "value": recorded.purchase.value,
        "points": recorded.points,
        "earnings": earnings,
        "not_earned": not_earned,
    }
    return Response(QuoteAnswer(answer).data)
