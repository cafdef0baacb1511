"""Members for machines: find, read, enrol, change."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from members import enrolment, lookup
from members.api.naming import label_of, member_of
from members.models import Member
from staff.api import ApiView
from staff.api_access import PageQuery, Pages, may, page_of
from staff.api_input import (
    EMAIL,
    LANGUAGE,
    NUMBER,
    PHONE,
    Day,
    Flag,
    Input,
    Moment,
    Properties,
    Text,
    Word,
    told,
)
from staff.idempotency import once
from staff.permissions import Scope
from staff.problems import Problem


class MemberRow(serializers.ModelSerializer[Member]):
    """A member as every machine sees one."""

    consents = serializers.SerializerMethodField()

    class Meta:
        model = Member
        fields: tuple[str, ...] = (
            "number",
            "external_id",
            "given_name",
            "family_name",
            "status",
            "language",
            "time_zone",
            "joined_at",
            "consents",
        )
        read_only_fields: tuple[str, ...] = fields

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "boolean"}})
    def get_consents(self, member: Member) -> dict[str, bool]:
        """What the member said, by channel; a channel they were never asked about is left out."""
        return {consent.channel: consent.granted for consent in member.consents.all()}


class PersonalRow(MemberRow):
    """A member with what is personal, for keys that may know it."""

    class Meta(MemberRow.Meta):
        fields = (*MemberRow.Meta.fields, "email", "phone", "gender", "birth_date", "attributes")
        read_only_fields = fields


class MemberAnswer(MemberRow):
    """A member. E-mail, phone, gender, birthday and attributes need the scope members.contacts."""

    email = serializers.CharField(required=False)
    phone = serializers.CharField(required=False)
    gender = serializers.ChoiceField(choices=["", *Member.Gender.values], required=False)
    birth_date = serializers.DateField(required=False, allow_null=True)
    attributes = serializers.DictField(required=False)

    class Meta(MemberRow.Meta):
        fields = PersonalRow.Meta.fields
        read_only_fields = MemberRow.Meta.fields


class Consents(Input):
    """Whether the member may be written to, by channel; a channel that is left out stays as it is."""

    email = Flag(required=False)
    sms = Flag(required=False)
    push = Flag(required=False)


class MemberChange(Input):
    """What can be changed of a member; what is left out stays as it is."""

    external_id = Text(longest=128, shortest=1, pattern=r"[^\u0000-\u0020\u007f/]+", required=False)
    given_name = Text(longest=100, required=False)
    family_name = Text(longest=100, required=False)
    email = Text(longest=254, pattern=EMAIL, required=False)
    phone = Text(longest=16, pattern=PHONE, required=False, help_text="In E.164, like +8613800004471.")
    gender = Word(["", *Member.Gender.values], required=False)
    birth_date = Day(required=False, allow_null=True)
    status = Word(Member.Status.values, required=False)
    language = Text(longest=9, pattern=LANGUAGE, required=False)
    time_zone = Text(longest=64, required=False, help_text="Of the IANA data base, like Asia/Shanghai.")
    attributes = Properties(required=False, help_text="Replaces all that were there.")
    consents = Consents(required=False)


class MemberEnrolment(MemberChange):
    """A new member."""

    number = Text(longest=32, shortest=1, pattern=NUMBER, required=False, help_text="Without one, the next.")
    joined_at = Moment(required=False, help_text="Without it, now.")


class MemberQuery(PageQuery):
    """Which members."""

    number = Text(longest=32, shortest=1, required=False)
    external_id = Text(longest=128, shortest=1, required=False)
    email = Text(longest=254, pattern=EMAIL, required=False)
    phone = Text(longest=16, pattern=PHONE, required=False, help_text="In E.164, like +8613800004471.")
    status = Word(Member.Status.values, required=False)


class MembersView(ApiView):
    """All members."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.MEMBERS_READ, "POST": Scope.MEMBERS_WRITE}

    @extend_schema(operation_id="list_members", parameters=[MemberQuery], responses={200: page_of(MemberAnswer)})
    def get(self, request: Request) -> Response:
        """List members, the newest first, or find those with exactly this number, id, e-mail address or phone."""
        asked = told(MemberQuery, request.query_params)
        for field in ("email", "phone"):
            # Whose an address is says as much as which address somebody has.
            if field in asked and not may(request, Scope.MEMBERS_CONTACTS):
                text = _("Finding members by this needs the scope %(scope)s.") % {"scope": Scope.MEMBERS_CONTACTS.value}
                raise Problem(403, "missing-scope", text, field)
        return Pages(request, asked).of(_matching(asked), lambda rows: _written(request, rows))

    @extend_schema(operation_id="create_member", request=MemberEnrolment, responses={201: MemberAnswer})
    def post(self, request: Request) -> HttpResponse:
        """Enrol a member."""
        given = told(MemberEnrolment, request.data)

        def enrol() -> Response:
            consents = given.pop("consents", {})
            member = _refusing(lambda: enrolment.enrol(fields=_stored(given), consents=consents, by=label_of(request)))
            address = reverse("api:member", kwargs={"number": member.number}, request=request)
            return Response(_written(request, [member])[0], status=201, headers={"Location": address})

        return once(request, enrol, shown=partial(_still_told, request))


class MemberView(ApiView):
    """One member."""

    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.MEMBERS_READ, "PATCH": Scope.MEMBERS_WRITE}

    @extend_schema(operation_id="get_member", responses={200: MemberAnswer})
    def get(self, request: Request, number: str) -> Response:
        """Read one member, by the number on the card or by “ext:” and your own id."""
        return Response(_written(request, [member_of(number)])[0])

    @extend_schema(operation_id="change_member", request=MemberChange, responses={200: MemberAnswer})
    def patch(self, request: Request, number: str) -> Response:
        """Change the fields that are named, and no others."""
        given = told(MemberChange, request.data)
        consents = given.pop("consents", {})
        member = member_of(number)
        _refusing(lambda: enrolment.change(member, fields=_stored(given), consents=consents, by=label_of(request)))
        return Response(_written(request, [member])[0])


def _matching(asked: dict[str, Any]) -> QuerySet[Member]:
    members = Member.objects.prefetch_related("consents")
    for field in ("number", "external_id", "status"):
        if field in asked:
            members = members.filter(**{field: asked[field]})
    if "email" in asked:
        members = members.filter(pk__in=lookup.ids_by("email", asked["email"]))
    if "phone" in asked:
        members = members.filter(pk__in=lookup.ids_by("phone", asked["phone"]))
    return members


def _written(request: Request, members: Sequence[Member]) -> list[Any]:
    row = PersonalRow if may(request, Scope.MEMBERS_CONTACTS) else MemberRow
    return list(row(members, many=True).data)


def _still_told(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
    """Of an answer that is said again, what the caller may know now: their key may have lost a scope meanwhile."""
    if may(request, Scope.MEMBERS_CONTACTS):
        return answer
    return {name: answer[name] for name in MemberRow.Meta.fields}


def _stored(given: dict[str, Any]) -> dict[str, Any]:
    """In the form that the desk and imports keep."""
    return {name: value.lower() if name in {"email", "language"} else value for name, value in given.items()}


def _refusing(act: Callable[[], Member]) -> Member:
    try:
        return act()
    except enrolment.Taken as error:
        text = _("Another member has this.")
        raise Problem(409, f"{error.field.replace('_', '-')}-taken", text, error.field) from error
    except enrolment.Refused as error:
        texts = {"future": _("This lies in the future."), "not_a_zone": _("There is no such time zone.")}
        raise Problem(422, error.reason.replace("_", "-"), texts[error.reason], error.field) from error
