"""The signed links in messages: clicks, unsubscribing, reading in the browser, the open pixel.

A token names a message and can be made by nobody without the secret key, so a link can be passed on
but not changed: it redirects only to an address that stood in the message itself.
"""

import hashlib
import re
from datetime import datetime
from html import escape, unescape

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Message
from members.models import Consent
from staff import audit

TEST_MESSAGE = 0
"""Stands for the message in test mails and previews; its links do nothing."""

HREF = re.compile(r'(<a\b[^>]*?\bhref=")([^"]*)(")', re.IGNORECASE)
ADDRESS = re.compile(r"https?://[^\s<>()\"']+")

_messages = Signer(salt="campaigns.message")
_clicks = Signer(salt="campaigns.click")


class BadLink(Exception):
    """The link was changed, or is not ours."""


def unsubscribe_url(message_id: int) -> str:
    """Where a member says that they want no more e-mail."""
    return _public("unsubscribe", _messages.sign_object(message_id))


def view_url(message_id: int) -> str:
    """Where a member reads the message in the browser."""
    return _public("read", _messages.sign_object(message_id))


def pixel_url(message_id: int) -> str:
    """The picture that tells that a message was opened."""
    return _public("pixel", _messages.sign_object(message_id))


def click_url(message_id: int, address: str) -> str:
    """The link that tells of a click and leads to ``address``."""
    return _public("click", _clicks.sign_object([message_id, address], compress=True))


def _public(view: str, token: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse(f'campaigns:{view}', args=[token])}"


def tracked_html(html: str, message_id: int) -> str:
    """The same message with each link going through us. A link that is no web or mail address leads nowhere."""
    own = settings.PUBLIC_URL + "/"

    def track(match: re.Match[str]) -> str:
        address = unescape(match[2]).strip()
        if address.startswith(own) or address.lower().startswith(("mailto:", "tel:", "#")):
            return match[0]
        if not address.lower().startswith(("http://", "https://")):
            return f"{match[1]}#{match[3]}"
        return f"{match[1]}{escape(click_url(message_id, address))}{match[3]}"

    return HREF.sub(track, html)


def tracked_text(text: str, message_id: int) -> str:
    """The plain text with each web address going through us."""
    own = settings.PUBLIC_URL + "/"

    def track(match: re.Match[str]) -> str:
        address = match[0].rstrip(".,;:!?")
        if address.startswith(own):
            return match[0]
        return click_url(message_id, address) + match[0][len(address) :]

    return ADDRESS.sub(track, text)


def message_of(token: str) -> int:
    """The message that a link belongs to. Raises :class:`BadLink`."""
    try:
        message_id = _messages.unsign_object(token)
    except (BadSignature, ValueError) as error:
        raise BadLink from error
    if not isinstance(message_id, int):
        raise BadLink
    return message_id


def click_of(token: str) -> tuple[int, str]:
    """The message and address of a click. Raises :class:`BadLink`."""
    try:
        message_id, address = _clicks.unsign_object(token)
    except (BadSignature, ValueError, TypeError) as error:
        raise BadLink from error
    return int(message_id), str(address)


def record(message_id: int, event: str, *, about: str = "", at: datetime | None = None) -> bool:
    """Write down what a member did with a message; the same thing is written once. True when it is new."""
    key = f"m{message_id}:{event}"
    if about:
        key += f":{hashlib.sha256(about.encode()).hexdigest()[:32]}"
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO campaigns_campaignevent (campaign_id, member_id, arm, event, occurred_at, key)
            SELECT r.campaign_id, m.member_id, v.key, %s, %s, %s
            FROM campaigns_message m
            JOIN campaigns_run r ON r.id = m.run_id
            JOIN campaigns_variant v ON v.id = m.variant_id
            WHERE m.id = %s
            ON CONFLICT (key) DO NOTHING
            """,
            [event, at or timezone.now(), key, message_id],
        )
        return bool(cursor.rowcount == 1)


def unsubscribe(message_id: int) -> None:
    """Withdraw the consent to e-mail of the member whom a message was for. A second time changes nothing."""
    message = Message.objects.select_related("member").filter(pk=message_id).first()
    if message is None:
        return
    now = timezone.now()
    with transaction.atomic():
        changed = Consent.objects.filter(member=message.member, channel=Consent.Channel.EMAIL, granted=True).update(
            granted=False, changed_at=now, source="unsubscribe link"
        )
        if changed:
            audit.record(
                None, "consent.withdraw", message.member, label="unsubscribe link", detail={"channel": "email"}
            )
        record(message_id, "unsubscribed", at=now)
