"""How people sign in: django-allauth by e-mail and password, with an optional one-time code.

There is no sign-up: people are invited (``staff.people``). Failed attempts are limited per address
and per IP (``ACCOUNT_RATE_LIMITS`` in the settings). Every sign-in, failure, sign-out and change of
password or second factor goes into the audit.
"""

import base64
import hashlib
import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.signals import password_changed, password_reset
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from staff import audit
from staff.models import User

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Our rules for allauth: nobody signs up, and what happens at the door is recorded."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": _("This e-mail address and password do not belong together."),
        "too_many_login_attempts": _("Too many failed attempts. Wait five minutes and try again."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """People are invited; see ``staff.people``."""
        return False

    def login(self, request: HttpRequest, user: User) -> None:
        """Sign in, after every step (password, one-time code) was passed."""
        super().login(request, user)
        self._record(request, user, "sign-in")

    def logout(self, request: HttpRequest) -> None:
        """Sign out."""
        if isinstance(request.user, User):
            self._record(request, request.user, "sign-out")
        super().logout(request)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Refuse before the password is looked at when there were too many failures."""
        try:
            super().pre_authenticate(request, **credentials)
        except Exception:
            # Not audited: whoever tries passwords by the thousand must not fill the audit with them.
            logger.warning("sign-in throttled", extra={"address": self.get_client_ip(request)})
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Record a wrong password, or a person who may not sign in."""
        email = str(credentials.get("email", ""))[:254].lower()
        audit.record(
            None, "sign-in.failed", detail={"email": email}, address=self.get_client_ip(request), label=email[:200]
        )

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Write to a person of the desk. A mail server that is away must not show who has an account."""
        try:
            super().send_mail(template_prefix, email, context)
        except (OSError, SMTPException):
            logger.exception("mail not sent", extra={"template": template_prefix})

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Where to go after the password was changed."""
        return reverse("home")

    def forget_failures(self, request: HttpRequest, user: User) -> None:
        """Let somebody who has just proved who they are try again."""
        self._delete_login_attempts_cached_email(request, email=user.email)

    def _record(self, request: HttpRequest, user: User, action: str, **detail: Any) -> None:
        audit.record(user, action, user, detail=detail, address=self.get_client_ip(request))


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Keeps the secrets of one-time codes encrypted, so that a copy of the database does not give them away."""

    def encrypt(self, text: str) -> str:
        """Encrypt a secret under the present ``SECRET_KEY``."""
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Read a secret, also one that was written under an earlier key (``SECRET_KEY_FALLBACKS``)."""
        return _cipher().decrypt(encrypted_text.encode()).decode()


def _cipher() -> MultiFernet:
    keys = map(str, [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS])
    derived = [hashlib.sha256(b"steadfast second factor" + key.encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])


# allauth tells about these only by its signals.


@receiver(password_changed)
@receiver(password_reset)
def record_password(sender: type, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """A password was changed, or set from a link."""
    adapter = AccountAdapter(request)
    adapter.forget_failures(request, user)
    adapter._record(request, user, "password.changed")


@receiver(authenticator_added)
def record_factor_added(
    sender: type, request: HttpRequest, user: User, authenticator: Authenticator, **kwargs: Any
) -> None:
    """One-time codes or recovery codes were set up."""
    AccountAdapter(request)._record(request, user, "second-factor.added", type=authenticator.type)


@receiver(authenticator_removed)
def record_factor_removed(
    sender: type, request: HttpRequest, user: User, authenticator: Authenticator, **kwargs: Any
) -> None:
    """One-time codes or recovery codes were taken away."""
    AccountAdapter(request)._record(request, user, "second-factor.removed", type=authenticator.type)


@receiver(authenticator_reset)
def record_factor_reset(
    sender: type, request: HttpRequest, user: User, authenticator: Authenticator, **kwargs: Any
) -> None:
    """New recovery codes replaced the old ones."""
    AccountAdapter(request)._record(request, user, "second-factor.renewed", type=authenticator.type)


@receiver(authentication_failed)
def record_factor_failed(sender: type, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """The password was right and the code was wrong."""
    AccountAdapter(request)._record(request, user, "second-factor.failed")
