"""The links in messages do what they say, and nothing for who changes them."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import delivery, links
from campaigns.models import CampaignEvent, Message
from members.models import Consent
from staff.models import AuditEntry
from tests.campaigns.campaigns import make_draft, make_members, start
from tests.conftest import Mailbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mail(mailbox: Mailbox) -> Any:
    make_members(1, language="en")
    campaign = start(make_draft(variants="A"))
    delivery.deliver(campaign.runs.get().pk)
    return mailbox.messages[0]


def address_of(mail: Any, view: str) -> str:
    """The path of the link to a view in a message's HTML."""
    html = mail.get_body(("html",)).get_content()
    [found] = set(re.findall(rf'"http://127\.0\.0\.1:8000(/campaigns/link/{view}/[^"]+)"', html))
    return str(found)


def test_a_click_leads_where_the_message_says_and_is_counted_once(mail: Any, client: Client) -> None:
    path = address_of(mail, "c")
    for _time in range(2):
        response = client.get(path)
        assert (response.status_code, response["Location"]) == (302, "https://shop.example/sale?a=1&b=2")
    event = CampaignEvent.objects.get()
    assert (event.event, event.arm) == ("clicked", "A")
    assert client.get(address_of(mail, "o"))["Content-Type"] == "image/gif"
    assert set(CampaignEvent.objects.values_list("event", flat=True)) == {"clicked", "opened"}


def test_unsubscribing_asks_first_and_counts_at_once(mail: Any, client: Client) -> None:
    path = mail["List-Unsubscribe"].strip(" <>").removeprefix("http://127.0.0.1:8000")
    assert "Unsubscribe from e-mail?" in client.get(path).content.decode()
    assert Consent.objects.get().granted  # programs that follow links change nothing
    for _time in range(2):
        assert client.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert not Consent.objects.get().granted
    assert AuditEntry.objects.filter(action="consent.withdraw").count() == 1
    assert CampaignEvent.objects.get(event="unsubscribed")


@pytest.mark.parametrize("view", ["click", "pixel", "unsubscribe", "read"])
def test_a_changed_link_does_nothing_and_tells_nothing(mail: Any, client: Client, view: str) -> None:
    good = {"click": links._clicks.sign_object([1, "https://evil.example"])}.get(view) or links._messages.sign_object(1)
    payload, signature = good.split(":")
    other = links._messages.sign_object(2).split(":")[0]
    wrong_salt = (
        links._messages.sign_object([1, "https://evil.example"]) if view == "click" else links._clicks.sign_object(1)
    )
    for token in (f"{other}:{signature}", f"{payload}:{signature[:-1]}", payload, "x", ":", wrong_salt, "%00"):
        assert client.get(reverse(f"campaigns:{view}", args=[token])).status_code == 404
        assert client.post(reverse(f"campaigns:{view}", args=[token])).status_code in {404, 405}
    assert Consent.objects.get().granted
    assert not CampaignEvent.objects.exists()


def test_a_message_is_read_in_the_browser_without_any_power(mail: Any, client: Client) -> None:
    response = client.get(address_of(mail, "v"))
    assert "you have 0 points" in response.content.decode()
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy


def test_a_message_that_was_not_sent_cannot_be_read(mail: Any, client: Client) -> None:
    path = address_of(mail, "v")
    Message.objects.update(state="skipped")
    assert client.get(path).status_code == 404


def test_links_that_are_no_addresses_lead_nowhere() -> None:
    html = '<a href="javascript:alert(1)">x</a><a href="mailto:a@b.example">y</a>'
    assert links.tracked_html(html, 1) == '<a href="#">x</a><a href="mailto:a@b.example">y</a>'


def test_the_link_of_a_test_mail_does_nothing(client: Client) -> None:
    token = links._messages.sign_object(links.TEST_MESSAGE)
    assert client.post(reverse("campaigns:unsubscribe", args=[token])).status_code == 200
    assert client.get(reverse("campaigns:read", args=[token])).status_code == 404
