"""Members over the REST API: what a key may not know it is not told, by no way round."""

import pytest

from members.models import Member
from staff.models import ApiKey
from staff.permissions import Scope
from tests.factories import make_member
from tests.over_http import Till

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("field", ["email", "phone"])
def test_nobody_is_found_by_their_contacts_without_the_scope_for_contacts(field: str) -> None:
    member = make_member()
    contact = {field: getattr(member, field)}
    refused = Till(Scope.MEMBERS_READ).get("members/", **contact)
    assert (refused.status_code, refused.json()["code"]) == (403, "missing-scope")
    assert member.number not in refused.content.decode()
    found = Till(Scope.MEMBERS_READ, Scope.MEMBERS_CONTACTS).get("members/", **contact)
    assert [row["number"] for row in found.json()["results"]] == [member.number]


def test_an_enrolment_sent_again_tells_no_contacts_once_the_scope_is_gone() -> None:
    till = Till(Scope.MEMBERS_WRITE, Scope.MEMBERS_CONTACTS)
    person = {"given_name": "Xiaoyu", "email": "xiaoyu@example.com", "birth_date": "1990-05-14"}
    first = till.post("members", person, key="one").json()
    assert first["email"] == "xiaoyu@example.com"
    assert till.post("members", person, key="one").json() == first
    ApiKey.objects.update(scopes=[Scope.MEMBERS_WRITE])
    again = till.post("members", person, key="one")
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (201, "true")
    assert again.json()["number"] == first["number"]
    assert not {"email", "phone", "gender", "birth_date", "attributes"} & set(again.json())
    assert Member.objects.count() == 1
