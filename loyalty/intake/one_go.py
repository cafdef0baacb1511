"""A batch in one transaction, tried again where another that came at the same moment was in its way."""

from collections.abc import Callable
from typing import Final, TypeVar

from django.db import IntegrityError, OperationalError, transaction

ATTEMPTS: Final = 3
DEADLOCK: Final = "40P01"

T = TypeVar("T")


def in_one_go(record: Callable[[], list[T]]) -> list[T]:
    """Record a batch in one transaction.

    It is tried again where somebody wrote one of its keys for another member meanwhile: by now that can be seen. Two
    that write the same keys in other orders may have waited for each other; the one that is let go on then waits for
    the other.
    """
    for _attempt in range(1, ATTEMPTS):
        try:
            with transaction.atomic():
                return record()
        except IntegrityError:
            continue
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != DEADLOCK:
                raise
    with transaction.atomic():
        return record()
