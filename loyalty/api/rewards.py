"""The catalogue, and redeeming from it: reserve, confirm, cancel."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from loyalty import rewards, words
from loyalty.api.refusals import refusing
from loyalty.models import Redemption, Reward
from members.api.naming import MemberName, member_of
from staff.api import ApiView
from staff.api_access import PageQuery, Pages, page_of
from staff.api_input import LARGEST_ID, Input, Items, Nothing, Whole, told
from staff.idempotency import caller_of, key_of, once
from staff.models import User
from staff.permissions import Scope
from staff.problems import Problem


class RewardRow(serializers.ModelSerializer[Reward]):
    """A reward on offer; ``stock`` null is without end."""

    title = serializers.SerializerMethodField()

    class Meta:
        model = Reward
        fields = ("id", "title", "name", "name_zh", "points", "stock")
        read_only_fields = fields

    def get_title(self, reward: Reward) -> str:
        """The name in the reader's language."""
        return words.reward_name(reward)


class RedemptionRow(serializers.ModelSerializer[Redemption]):
    """A reward for a member: reserved, then confirmed and fulfilled, or cancelled."""

    member = serializers.CharField(source="member.number")
    reward = serializers.IntegerField(source="reward_id")

    class Meta:
        model = Redemption
        fields = ("id", "member", "reward", "points", "state", "redeemed_at", "confirmed_at", "cancelled_at")
        read_only_fields = fields


class RedemptionInput(Input):
    """What to reserve for whom."""

    member = MemberName()
    reward = Whole(least=1, most=LARGEST_ID)
    points = Whole(
        least=1, most=2**31 - 1, required=False, help_text="What the member was shown; any other price is refused."
    )
    lots = Items(
        child=Whole(least=1, most=LARGEST_ID),
        most=100,
        least=0,
        default=list,
        help_text="Lots of the member that pay, in this order. Without any, those that expire first.",
    )


class RewardsView(ApiView):
    """The catalogue."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.REWARDS_READ}

    @extend_schema(operation_id="list_rewards", parameters=[PageQuery], responses={200: page_of(RewardRow)})
    def get(self, request: Request) -> Response:
        """List the rewards on offer, the newest first."""
        asked = told(PageQuery, request.query_params)
        return Pages(request, asked).of(Reward.objects.filter(active=True), _rewards)


class RedemptionsView(ApiView):
    """Redemptions."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.REWARDS_REDEEM}

    @extend_schema(operation_id="reserve_redemption", request=RedemptionInput, responses={201: RedemptionRow})
    def post(self, request: Request) -> HttpResponse:
        """Reserve a reward: its points and one of its stock are taken together."""
        given = told(RedemptionInput, request.data)

        def reserve() -> Response:
            redemption = _refusing(
                lambda: rewards.redeem(
                    member_id=member_of(given["member"], "member").pk,
                    reward_id=given["reward"],
                    price=given.get("points"),
                    lots=given["lots"],
                    key=f"api:{caller_of(request)}:{key_of(request)}",
                    user=_user(request),
                )
            )
            address = reverse("api:redemption", kwargs={"pk": redemption.pk}, request=request)
            return Response(RedemptionRow(redemption).data, status=201, headers={"Location": address})

        return once(request, reserve)


class RedemptionView(ApiView):
    """One redemption."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.REWARDS_READ}

    @extend_schema(operation_id="get_redemption", responses={200: RedemptionRow})
    def get(self, request: Request, pk: str) -> Response:
        """Read one redemption."""
        return Response(RedemptionRow(_redemption(pk)).data)


class ConfirmView(ApiView):
    """Confirming a redemption."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.REWARDS_REDEEM}

    @extend_schema(operation_id="confirm_redemption", request=Nothing, responses={200: RedemptionRow})
    def post(self, request: Request, pk: str) -> HttpResponse:
        """Promise a reserved reward for good. Confirming twice changes nothing."""
        return _step(request, pk, rewards.confirm)


class CancelView(ApiView):
    """Cancelling a redemption."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.REWARDS_REDEEM}

    @extend_schema(operation_id="cancel_redemption", request=Nothing, responses={200: RedemptionRow})
    def post(self, request: Request, pk: str) -> HttpResponse:
        """Give the points back to the lots they came from, and the reward to its stock."""
        return _step(request, pk, rewards.cancel)


def _rewards(rows: Sequence[Reward]) -> Sequence[Any]:
    return list(RewardRow(rows, many=True).data)


def _step(request: Request, pk: str, step: Callable[..., Redemption]) -> HttpResponse:
    told(Nothing, request.data)
    return once(
        request,
        lambda: Response(RedemptionRow(_refusing(lambda: step(_redemption(pk), user=_user(request)))).data),
    )


def _redemption(pk: str) -> Redemption:
    found = None
    if pk.isascii() and pk.isdecimal() and int(pk) <= LARGEST_ID:
        found = Redemption.objects.select_related("member").filter(pk=int(pk)).first()
    if found is None:
        raise Problem(404, "unknown-redemption", _("There is no such redemption."))
    return found


def _user(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _refusing(act: Callable[[], Redemption]) -> Redemption:
    try:
        with refusing():
            return act()
    except Reward.DoesNotExist as error:
        raise Problem(404, "unknown-reward", _("There is no such reward."), "reward") from error
    except rewards.NotOffered as error:
        raise Problem(422, "not-offered", _("This reward is not offered now."), "reward") from error
    except rewards.NotEligible as error:
        raise Problem(422, "not-eligible", _("The member is blocked, or has left."), "member") from error
    except rewards.PriceChanged as error:
        raise Problem(409, "price-changed", _("The reward costs something else by now."), "points") from error
    except rewards.LotRefused as error:
        texts = {
            "not_theirs": _("Lot %(id)d is not the member's."),
            "not_usable": _("Lot %(id)d cannot be spent: it is pending, held, expired or spent."),
        }
        code = f"lot-{error.reason.replace('_', '-')}"
        raise Problem(422, code, texts[error.reason] % {"id": error.lot_id}, "lots") from error
    except rewards.OutOfStock as error:
        raise Problem(409, "out-of-stock", _("Nothing is left of this reward."), "reward") from error
    except rewards.WrongState as error:
        text = _("The redemption is %(state)s already.") % {"state": Redemption.State(error.state).label}
        raise Problem(409, "wrong-state", text) from error
