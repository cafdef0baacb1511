"""The cache, which may be lost at any time without losing more than speed."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import TimeoutError as Late

logger = logging.getLogger(__name__)


def _losable(method: Callable[..., Any], answer: Any = None) -> Callable[..., Any]:
    """Call the method; where the server does not answer, say so in the log and answer this instead."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except (Unreachable, Late) as error:
            logger.warning("the cache does not answer: %s", error)
            return answer

    return call


class _Client(RedisCacheClient):
    """Keeps its clients: Django builds one for each question, which takes longer than the answer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clients: dict[bool, Any] = {}

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        """The client of the server that is to be asked."""
        if write not in self._clients:
            self._clients[write] = super().get_client(key, write=write)
        return self._clients[write]


class LosableCache(RedisCache):
    """Redis that forgets everything while it is away.

    What counts in it (failed sign-ins, API requests) is not counted then: people can go on working,
    and the health page says that the server is gone.
    """

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Client

    add = _losable(RedisCache.add, answer=True)
    set = _losable(RedisCache.set)
    touch = _losable(RedisCache.touch, answer=False)
    delete = _losable(RedisCache.delete, answer=False)
    has_key = _losable(RedisCache.has_key, answer=False)
    set_many = _losable(RedisCache.set_many, answer=())
    delete_many = _losable(RedisCache.delete_many)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value, or the default where there is none or nobody to ask."""
        return _losable(super().get, answer=default)(key, default, version)

    def get_many(self, keys: Any, version: int | None = None) -> dict[Any, Any]:
        """The values that are there."""
        found: dict[Any, Any] = _losable(super().get_many, answer={})(keys, version)
        return found

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Count on; from nothing where nobody keeps the count."""
        return int(_losable(super().incr, answer=delta)(key, delta, version))
