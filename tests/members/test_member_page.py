"""The member page: profile, contact data on request, consents."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from members import masking
from members.models import Consent, Member
from staff.models import AuditEntry
from tests.factories import make_interaction, make_member, make_purchase, make_response, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def member() -> Member:
    return make_member(
        number="M-1",
        phone="+8613800004471",
        email="w.xiaoyu@example.com",
        consents={"email": True},
        attributes={"city": "<b>"},
    )


def page(client: Client, member: Member, role: str = "customer_service", **query: str) -> str:
    client.force_login(make_user(role))
    response = client.get(reverse("members:member", args=[member.number]), query)
    assert response.status_code == 200
    return response.content.decode()


def test_the_page_sums_up_the_last_year_and_how_often_they_buy(client: Client, member: Member) -> None:
    for days, amount in ((10, "100"), (30, "200.50"), (50, "300"), (400, "999")):
        make_purchase(member, amount=amount, purchased_at=timezone.now() - timedelta(days=days))
    html = page(client, member)
    assert "¥600.50" in html
    assert "3 purchases · average ¥200.17" in html
    assert "20 days" in html
    assert "10 days since the last" in html


def test_the_page_asks_few_queries_however_much_happened(
    client: Client, member: Member, django_assert_max_num_queries: Any
) -> None:
    for day in range(30):
        at = timezone.now() - timedelta(days=day, hours=1)
        make_purchase(member, purchased_at=at)
        make_interaction(member, occurred_at=at)
        make_response(member, answered_at=at)
    client.force_login(make_user("customer_service"))
    with django_assert_max_num_queries(18):
        client.get(reverse("members:member", args=[member.number]))


def test_contact_data_is_masked_until_revealed_and_each_reveal_is_in_the_audit(client: Client, member: Member) -> None:
    html = page(client, member)
    assert "+86 138 •••• 4471" in html
    assert "13800004471" not in html
    assert "w.xiaoyu" not in html
    assert "&lt;b&gt;" in html
    address = reverse("members:reveal", args=[member.number])
    shown = client.post(address, headers={"HX-Request": "true"})
    assert "+86 138 0000 4471" in shown.content.decode()
    assert "w.xiaoyu@example.com" in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert "138 0000 4471" in client.post(address).content.decode()
    assert AuditEntry.objects.filter(action="member.reveal", subject_id=str(member.pk)).count() == 2
    assert "0000 4471" not in page(client, member)


def test_who_may_not_reveal_is_offered_no_button(client: Client, member: Member) -> None:
    assert reverse("members:reveal", args=[member.number]) not in page(client, member, role="marketing_manager")


def test_a_consent_changes_with_its_reason_and_only_when_it_is_another(client: Client, member: Member) -> None:
    client.force_login(make_user("customer_service"))
    address = reverse("members:consent", args=[member.number])
    told = {"channel": "email", "granted": "no", "reason": "asked on the phone"}
    for _ in range(2):
        assert client.post(address, told).status_code == 302
    consent = Consent.objects.get(member=member, channel="email")
    assert (consent.granted, consent.source) == (False, "desk")
    entry = AuditEntry.objects.get(action="member.consent")
    assert entry.detail == {"channel": "email", "granted": False, "reason": "asked on the phone", "was": True}
    assert client.post(address, told | {"channel": "sms", "granted": "yes"}).status_code == 302
    assert Consent.objects.get(member=member, channel="sms").granted
    refused = client.post(address, told | {"channel": "push", "reason": " "})
    assert refused.status_code == 422
    assert not Consent.objects.filter(channel="push").exists()


def test_a_number_of_any_shape_has_a_page(client: Client) -> None:
    member = make_member(number="A/7 é#?")
    assert "A/7" in page(client, member)


def test_an_unknown_number_is_not_found(client: Client) -> None:
    client.force_login(make_user("customer_service"))
    assert client.get(reverse("members:member", args=["nobody"])).status_code == 404


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+8613800004471", "+86 138 •••• 4471"),
        ("+4915112345678", "+49 •••• 678"),
        ("12345", "••••45"),
        ("", ""),
    ],
)
def test_a_phone_is_masked(number: str, masked: str) -> None:
    assert masking.phone(number) == masked


@pytest.mark.parametrize(
    ("address", "masked"), [("w.xiaoyu@example.com", "w•••@example.com"), ("", ""), ("rubbish", "•••")]
)
def test_an_address_is_masked(address: str, masked: str) -> None:
    assert masking.email(address) == masked
