"""Settings of the tests: test mode, and servers that run for as long as a test process needs them."""

import os

os.environ["STEADFAST_MODE"] = "test"

from config import embedded

try:
    embedded.hold()
except embedded.Unavailable as trouble:
    raise SystemExit(str(trouble)) from None

from config.settings import *  # noqa: F403
from config.settings import BASE_DIR, CACHES, REDIS_URL

# Each xdist process has its own database (pytest-django sees to it) and its own Valkey database.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
REDIS_URL = f"{REDIS_URL.rpartition('/')[0]}/{_worker % 16}"
CACHES = {"default": CACHES["default"] | {"LOCATION": REDIS_URL}}
CELERY_BROKER_URL = REDIS_URL

# Argon2 is slow on purpose; the tests sign in hundreds of times.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# The live server of the browser tests serves what the build left in static/, without a collectstatic.
STATIC_ROOT = BASE_DIR / "static"
