"""Keys by which machines use the REST API.

A key reads ``sf_<prefix>_<secret>``. The prefix finds the row; of the secret, 256 random bits, only
the SHA-256 is kept, which is enough for a secret nobody can guess and costs nothing per request.
"""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from staff import audit
from staff.models import ApiKey, User
from staff.permissions import Scope

BRAND = "sf"
USED_AT_MOST_EVERY = timedelta(minutes=1)


class UnknownScope(ValueError):
    """A scope that does not exist; the text names it and those that do."""


def create(
    *, name: str, scopes: Iterable[str], user: User | None, requests_per_minute: int | None = None
) -> tuple[ApiKey, str]:
    """Make a key. The text is returned this once and cannot be had again.

    Without ``requests_per_minute`` it may ask as often as ``API_RATE`` says.
    """
    wanted = sorted(set(scopes))
    if unknown := [scope for scope in wanted if scope not in Scope.values]:
        raise UnknownScope(f"Unknown scope: {', '.join(unknown)}. Known: {', '.join(Scope.values)}.")
    if not wanted:
        raise UnknownScope(f"Name at least one scope of: {', '.join(Scope.values)}.")
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with transaction.atomic():
        key = ApiKey.objects.create(
            name=name,
            prefix=prefix,
            key_hash=_hash(secret),
            scopes=wanted,
            created_by=user,
            requests_per_minute=requests_per_minute,
        )
        audit.record(user, "api-key.created", key, detail={"scopes": wanted})
    return key, f"{BRAND}_{prefix}_{secret}"


def find(text: str) -> ApiKey | None:
    """The key that is meant by this text, if it is whole and not revoked."""
    brand, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if brand != BRAND or not secret or not prefix.isascii() or "\0" in prefix:
        return None
    try:
        key = ApiKey.objects.get(prefix=prefix, revoked_at=None)
    except ApiKey.DoesNotExist:
        return None
    return key if secrets.compare_digest(key.key_hash, _hash(secret)) else None


def note_use(key: ApiKey) -> None:
    """Remember when the key was last used, written at most once a minute."""
    now = timezone.now()
    if key.last_used_at is None or key.last_used_at < now - USED_AT_MOST_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_AT_MOST_EVERY)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)


def revoke(key: ApiKey, *, user: User | None) -> bool:
    """End a key at once and for good. False if it was revoked before."""
    with transaction.atomic():
        revoked = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
        if revoked:
            audit.record(user, "api-key.revoked", key)
    return bool(revoked)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
