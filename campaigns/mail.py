"""One e-mail: built with the headers that mail programs ask for, and handed to the mail server.

The server is spoken to command by command, because what a failure means depends on when it comes:
before DATA nothing was sent, after DATA only its answer tells.
"""

import smtplib
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.message import sanitize_address
from django.core.mail.utils import DNS_NAME
from django.utils import translation
from django.utils.translation import gettext as _

from campaigns import links
from campaigns.content import Compiled, render
from members.models import Member


class Unreachable(Exception):
    """The mail server takes nothing at the moment. Nothing was sent."""


class Refused(Exception):
    """The mail server does not take this message, ever."""


class Later(Exception):
    """The mail server does not take this message now. It was not sent."""


class Lost(Exception):
    """The connection broke after the message was handed over: nobody knows whether it was sent."""


def merge_values(member: Member, *, points: int, tier: str, message_id: int) -> dict[str, Any]:
    """What a message may merge in about one member."""
    language = member.language or settings.LANGUAGE_CODE
    with translation.override(language):
        footer = {
            "why": _("You receive this because you are a member of %(programme)s.")
            % {"programme": settings.PROGRAMME_NAME},
            "unsubscribe": _("Unsubscribe"),
            "view": _("Read in the browser"),
        }
    return {
        "member": {
            "name": member.display_name,
            "given_name": member.given_name,
            "family_name": member.family_name,
            "number": member.number,
            "points": points,
            "tier": tier,
            "joined_on": member.joined_at.date().isoformat(),
            "language": language,
            "attributes": member.attributes,
        },
        "programme": {"name": settings.PROGRAMME_NAME},
        "unsubscribe_url": links.unsubscribe_url(message_id),
        "view_url": links.view_url(message_id),
        "pixel_url": links.pixel_url(message_id) if message_id != links.TEST_MESSAGE else "",
        "footer": footer,
    }


def build(
    compiled: Compiled, values: dict[str, Any], *, to: str, message_id: int, campaign: str
) -> EmailMultiAlternatives:
    """The e-mail to one address. Its Message-ID is the same each time this message is built.

    Raises ``RenderError``, and ``ValueError`` for an address that cannot stand in a header.
    """
    rendered = render(compiled, values)
    html, text = rendered.html, rendered.text
    headers = {}
    if message_id != links.TEST_MESSAGE:
        html, text = links.tracked_html(html, message_id), links.tracked_text(text, message_id)
        headers = {
            "Message-ID": f"<steadfast.{message_id}@{_own_domain()}>",
            "List-Unsubscribe": f"<{values['unsubscribe_url']}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Feedback-ID": f"{campaign}:steadfast",
        }
    message = EmailMultiAlternatives(rendered.subject, text, to=[to], headers=headers)
    message.attach_alternative(html, "text/html")
    return message


def _own_domain() -> str:
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ")
    return domain or str(DNS_NAME)


class Transport:
    """One connection to the mail server, opened when it is first needed."""

    def __init__(self) -> None:
        self._backend: Any = get_connection()
        self._is_open = False
        self._used = False

    def send(self, message: EmailMultiAlternatives) -> None:
        """Hand over one message. Raises one of the four exceptions above; otherwise it was sent."""
        self._open()
        if isinstance(self._backend, EmailBackend):
            self._send_smtp(message)
            return
        try:  # a provider's own interface (anymail): it tells no more than that it failed
            self._backend.send_messages([message])
        except Exception as error:
            raise Lost(str(error)) from error

    def close(self) -> None:
        """Say goodbye, if the server still listens."""
        if self._is_open:
            self._is_open = self._used = False
            self._backend.fail_silently = True
            self._backend.close()
            self._backend = get_connection()

    def _open(self) -> None:
        if self._is_open:
            return
        try:
            self._backend.open()
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable(_words(error)) from error
        self._is_open = True

    def _send_smtp(self, message: EmailMultiAlternatives) -> None:
        encoding = message.encoding or settings.DEFAULT_CHARSET
        sender = _bare(sanitize_address(message.from_email, encoding))
        recipient = _bare(sanitize_address(message.to[0], encoding))
        content = message.message().as_bytes(linesep="\r\n")  # type: ignore[call-arg]
        try:
            self._begin(sender)
        except Unreachable:
            if not self._used:
                raise
            # Servers hang up on an idle connection, or after so many messages. Nothing was sent: once more.
            self.close()
            self._open()
            self._begin(sender)
        self._used = True
        smtp: smtplib.SMTP = self._backend.connection
        try:
            self._check(*smtp.rcpt(recipient))
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            self.close()
            raise Unreachable(_words(error)) from error
        try:
            code, reply = smtp.data(content)
        except smtplib.SMTPDataError as error:  # it did not even want to begin
            self._check(error.smtp_code, error.smtp_error)
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            self.close()
            raise Lost(_words(error)) from error
        else:
            if not 200 <= code < 300 and not 400 <= code < 600:
                # Not an answer that SMTP knows: it may have taken the message all the same.
                self.close()
                raise Lost(f"{code} {reply.decode(errors='replace')}")
            self._check(code, reply)

    def _begin(self, sender: str) -> None:
        """Name the sender. A server that does not take the sender takes nothing."""
        smtp: smtplib.SMTP = self._backend.connection
        try:
            smtp.ehlo_or_helo_if_needed()
            code, reply = smtp.mail(sender)
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise Unreachable(_words(error)) from error
        if not 200 <= code < 300:
            self.close()
            raise Unreachable(f"{code} {reply.decode(errors='replace')}")

    def _check(self, code: int, reply: bytes | str) -> None:
        """Turn an answer that is no yes into its exception."""
        if 200 <= code < 300:
            return
        words = f"{code} {reply.decode(errors='replace') if isinstance(reply, bytes) else reply}"
        if code == 421:
            self.close()
            raise Unreachable(words)
        try:
            self._backend.connection.rset()
        except (smtplib.SMTPException, OSError):
            self.close()
        raise (Refused if code >= 500 else Later)(words)


def _bare(address: str) -> str:
    """The address alone, without a name."""
    return address.rpartition("<")[2].rstrip(">")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
