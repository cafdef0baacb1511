"""The same request any number of times, the same answer, one effect (docs/adr/0012).

A POST names itself by the header ``Idempotency-Key``. A row with that key, and with a hash of what was
asked, is written first in the very transaction that does it; whoever sends the same request at the same
time waits at that row, and then reads the answer that stands there. When the transaction is rolled back,
by a refusal or by a crash, the row goes with it, and the request may be sent again.

Rows are forgotten after ``API_IDEMPOTENCY_DAYS``. What a request has given or taken is then still
guarded by the keys of purchases, refunds, redemptions and ledger entries.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.utils import OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from staff.models import ApiKey, IdempotentRequest
from staff.problems import Problem
from staff.statements import prepared

HEADER: Final = "Idempotency-Key"
REPLAY_HEADER: Final = "Idempotent-Replay"
# What a log line, a URL and a unique key of the ledger can hold.
KEY: Final = re.compile(r"[A-Za-z0-9._:~+/=-]{1,100}", re.ASCII)
LONGEST_WAIT: Final = "5s"
FORGOTTEN_AT_ONCE: Final = 10_000


def key_of(request: Request | HttpRequest) -> str:
    """The key in the header. Raises a 400 :class:`~staff.problems.Problem` where there is none."""
    key = request.headers.get(HEADER, "")
    if not key:
        text = _("Send the header %(header)s: a text that is new for each new request.")
        raise Problem(400, "idempotency-key-missing", text % {"header": HEADER})
    if not KEY.fullmatch(key):
        text = _("The header %(header)s takes 1 to 100 of: letters, digits and . _ : ~ + / = -")
        raise Problem(400, "idempotency-key-invalid", text % {"header": HEADER})
    return key


def caller_of(request: Request) -> str:
    """Whose keys these are: two machines may use the same words."""
    if isinstance(request.auth, ApiKey):
        return f"key:{request.auth.pk}"
    return f"user:{request.user.pk}"


def once(request: Request, act: Callable[[], Response], *, shown: Callable[[Any], Any] | None = None) -> HttpResponse:
    """Do it, or say again what came of it the first time.

    ``shown`` takes out of an answer that is said again what the caller may not know any more.

    ``act`` runs in a transaction. What it raises undoes all, the key included; only an answer that it
    returns is kept. Raises a :class:`~staff.problems.Problem`: 422 where the key came with other input
    before, 409 where the first request is still being worked on after five seconds.
    """
    key, caller, digest = key_of(request), caller_of(request), input_hash(request)
    with transaction.atomic():
        if not _claim(caller, key, digest):
            return _said_before(IdempotentRequest.objects.get(caller=caller, key=key), digest, shown)
        answer = act()
        body = JSONRenderer().render(answer.data).decode()
        headers = {name: value for name, value in answer.items() if name != "Content-Type"}
        with prepared() as cursor:
            cursor.execute(_KEEP, [answer.status_code, body, json.dumps(headers), caller, key])
    return _response(answer.status_code, body, headers)


def input_hash(request: Request) -> bytes:
    """SHA-256 over method, path and body, whatever the order of its fields and the blanks between them."""
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{request.method} {request.path.rstrip('/')}\n{body}".encode()).digest()


def forget(days: int | None = None) -> int:
    """Remove the answers of requests older than that many days, in small steps. Returns how many."""
    kept = settings.API_IDEMPOTENCY_DAYS if days is None else days
    old = IdempotentRequest.objects.filter(created_at__lt=timezone.now() - timedelta(days=kept)).order_by("created_at")
    total = 0
    while removed := IdempotentRequest.objects.filter(pk__in=old.values("pk")[:FORGOTTEN_AT_ONCE]).delete()[0]:
        total += removed
    return total


# Nobody waits for the row any longer than that; what comes after it in the transaction waits as it always does.
_CLAIM: Final = """
WITH patience AS MATERIALIZED (
    SELECT current_setting('lock_timeout') AS usual, set_config('lock_timeout', %s, true)
)
INSERT INTO staff_idempotentrequest (caller, key, input_hash, status, body, headers, created_at)
SELECT %s::text, %s::text, %s::bytea, 0, '', '{}', statement_timestamp() FROM patience
ON CONFLICT DO NOTHING RETURNING set_config('lock_timeout', (SELECT usual FROM patience), true)
"""
_KEEP: Final = "UPDATE staff_idempotentrequest SET status = %s, body = %s, headers = %s WHERE caller = %s AND key = %s"


def _claim(caller: str, key: str, digest: bytes) -> bool:
    """Write the row; False where it is there. Waits for a transaction that has written it and is not over."""
    with prepared() as cursor:
        try:
            cursor.execute(_CLAIM, [LONGEST_WAIT, caller, key, digest])
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != "55P03":
                raise
            text = _("The first request with this key is still being worked on. Send it again in a moment.")
            raise Problem(409, "still-in-progress", text) from error
        return bool(cursor.rowcount)


def _said_before(first: IdempotentRequest, digest: bytes, shown: Callable[[Any], Any] | None) -> HttpResponse:
    if bytes(first.input_hash) != digest:
        raise Problem(422, "idempotency-key-reused", _("This key came with another request before."))
    body = first.body if shown is None else JSONRenderer().render(shown(json.loads(first.body))).decode()
    return _response(first.status, body, first.headers | {REPLAY_HEADER: "true"})


def _response(status: int, body: str, headers: Mapping[str, Any]) -> HttpResponse:
    return HttpResponse(body, status=status, content_type="application/json", headers=dict(headers))
