"""All settings, read from the environment.

``STEADFAST_MODE`` is ``production``, ``demo`` or ``test``. It is ``production`` wherever
``DATABASE_URL`` is set and ``demo`` where it is not: without it the embedded servers of
``config/embedded.py`` are used, which a production install does not have. Production refuses to
start with anything missing or unsafe (``config/production.py``).
"""

import os
from pathlib import Path

import environ
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from config import embedded, logs, production

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()

MODE = env.str("STEADFAST_MODE", default="production" if "DATABASE_URL" in env else "demo")
if MODE not in {"production", "demo", "test"}:
    raise ImproperlyConfigured(f"STEADFAST_MODE is {MODE!r}; it must be production, demo or test.")
PRODUCTION = MODE == "production"

if PRODUCTION and (refusals := production.problems(os.environ)):
    raise ImproperlyConfigured("Steadfast does not start: " + " ".join(refusals))
if MODE == "demo" and embedded.wanted() and not embedded.installed():
    raise ImproperlyConfigured(embedded.MISSING)

DATA = Path(env.str("STEADFAST_DATA", default=str(BASE_DIR / ".data")))
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or embedded.secret_key()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "testserver"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "config.apps.ConfigConfig",
    "analytics",
    "campaigns",
    "loyalty",
    "members",
    "staff",
    "django_cotton",
    "django_htmx",
    "lucide",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "pghistory",
    "pgtrigger",
    "rest_framework",
    "drf_spectacular",
    "csp",
    "anymail",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "config.apps.StaticFiles",
]

MIDDLEWARE = [
    "config.requests.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "staff.preferences.LanguageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "staff.middleware.RefuseNulMiddleware",
    "staff.middleware.DenyByDefaultMiddleware",
    "pghistory.middleware.HistoryMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "staff.context.desk",
            ],
        },
    },
]

DATABASES = {"default": env.db_url_config(env.str("DATABASE_URL", default="") or embedded.database_url())}
DATABASES["default"].setdefault("OPTIONS", {})["pool"] = False
DATABASES["default"]["OPTIONS"].setdefault("prepare_threshold", 5)  # only for staff.statements
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="") or embedded.redis_url()
CACHES = {"default": {"BACKEND": "config.cache.LosableCache", "LOCATION": REDIS_URL}}

CELERY_BROKER_URL = REDIS_URL
# A task that runs for longer than this is handed to a second worker, so every task can bear that.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 4 * 3600, "socket_keepalive": True}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "steadfast"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1_000
CELERY_BEAT_SCHEDULER = "config.beat.Scheduler"
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA / "beat-schedule")
# Beat only ticks; what is due stands in rows. A tick that is not taken in time is not worth taking later.
CELERY_BEAT_SCHEDULE = {
    "heartbeat": {"task": "config.tasks.heartbeat", "schedule": 15.0, "options": {"expires": 15}},
    "revive-jobs": {"task": "staff.tasks.revive_jobs", "schedule": 30.0, "options": {"expires": 30}},
    "forget-requests": {"task": "staff.tasks.forget_requests", "schedule": 3_600.0, "options": {"expires": 3_600}},
    "collect-facts": {"task": "analytics.tasks.collect_facts", "schedule": 60.0, "options": {"expires": 60}},
    "start-rules": {"task": "loyalty.tasks.start_rules", "schedule": 60.0, "options": {"expires": 60}},
    "hand-out-gifts": {"task": "loyalty.tasks.hand_out_gifts", "schedule": 60.0, "options": {"expires": 60}},
    "seal-ledger": {"task": "loyalty.tasks.seal_ledger", "schedule": 300.0, "options": {"expires": 300}},
    "sweep-imports": {"task": "members.tasks.sweep_imports", "schedule": 86_400.0, "options": {"expires": 3_600}},
    "build-segments": {"task": "members.tasks.build_segments", "schedule": 300.0, "options": {"expires": 300}},
    # Nightly by the programme's clock: what expired with the day, then whose spend left the window with it.
    "expire-points": {
        "task": "loyalty.tasks.expire_points",
        "schedule": crontab(hour="0", minute="10"),
        "options": {"expires": 3_600},
    },
    "recalculate-tiers": {
        "task": "loyalty.tasks.recalculate_tiers",
        "schedule": crontab(hour="0", minute="30"),
        "options": {"expires": 3_600},
    },
    "value-members": {
        "task": "analytics.tasks.value_members",
        "schedule": crontab(hour="1", minute="30"),
        "options": {"expires": 3_600},
    },
    "campaigns-tick": {"task": "campaigns.tasks.tick", "schedule": 3.0, "options": {"expires": 6}},
}

AUTH_USER_MODEL = "staff.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "staff.sign_in.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
# Whoever is invited by an administrator has proved the address by opening the link.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Steadfast: "
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False
ACCOUNT_SESSION_REMEMBER = True
# Failed sign-ins: by the address typed, and by the IP it was typed from.
ACCOUNT_RATE_LIMITS = {"login_failed": "20/10m/ip,5/5m/key"}
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
MFA_ADAPTER = "staff.sign_in.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Steadfast"
# A used code is remembered for one period of 30 s. With any tolerance it would count for longer than that,
# and so a second time.
MFA_TOTP_TOLERANCE = 0
MFA_ALLOW_UNVERIFIED_EMAIL = True

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]
TIME_ZONE = env.str("PROGRAMME_TIME_ZONE", default="Asia/Shanghai")
# Beat's nights are the programme's.
CELERY_TIMEZONE = TIME_ZONE
PROGRAMME_CURRENCY = env.str("PROGRAMME_CURRENCY", default="CNY")
PROGRAMME_PHONE_CODE = env.str("PROGRAMME_PHONE_CODE", default="86")
USE_TZ = True

# The largest body of a request to the API; a batch of 1,000 purchases with ten lines each is about two megabytes.
DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("API_MAX_BYTES", default=5 * 1024**2)
# For how long a repeated request gets the answer of the first; what it gave or took is guarded for ever.
API_IDEMPOTENCY_DAYS = env.int("API_IDEMPOTENCY_DAYS", default=7)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["staff.api_access.KeyAuthentication", "staff.api_access.DeskAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["staff.api_access.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["staff.api_access.KeyThrottle"],
    "DEFAULT_THROTTLE_RATES": {"key": env.str("API_RATE", default="600/min")},
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["staff.api_input.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "staff.api_schema.Described",
    "EXCEPTION_HANDLER": "staff.problems.respond",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Steadfast API",
    "DESCRIPTION": "What tills, shops and apps use to talk to the loyalty programme.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["staff.api_schema.close_inputs"],
}

STATIC_URL = "static/"
# Only production collects; without a collection WhiteNoise would warn of the missing directory.
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles")) if PRODUCTION else None
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
# The demo and the tests serve what stands in static/ without a collectstatic.
WHITENOISE_USE_FINDERS = not PRODUCTION

MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(DATA / "media")))

# Production names an SMTP server or a provider of django-anymail, whose own settings are ANYMAIL_*.
EMAIL_PROVIDER = env.str("EMAIL_PROVIDER", default="")
EMAIL_BACKEND = (
    f"anymail.backends.{EMAIL_PROVIDER}.EmailBackend"
    if EMAIL_PROVIDER
    else "django.core.mail.backends.smtp.EmailBackend"
)
ANYMAIL = {name.removeprefix("ANYMAIL_"): value for name, value in os.environ.items() if name.startswith("ANYMAIL_")}
EMAIL_HOST = env.str("EMAIL_HOST", default="127.0.0.1")
EMAIL_PORT = env.int("EMAIL_PORT", default=0) or (587 if PRODUCTION else embedded.mail_port())
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_SSL = env.bool("EMAIL_USE_SSL", default=False)
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=PRODUCTION and not EMAIL_USE_SSL)
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Steadfast <programme@steadfast.example>")

PROGRAMME_NAME = env.str("PROGRAMME_NAME", default="Steadfast Rewards")
# Where members reach us: the links in messages begin with it.
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://127.0.0.1:{env.str('PORT', default='8000')}").rstrip("/")

# A message to a member whose time zone is known waits while it is this late or early there (hours).
CAMPAIGN_QUIET_HOURS = (env.int("CAMPAIGN_QUIET_FROM", default=21), env.int("CAMPAIGN_QUIET_UNTIL", default=8))
# At most so many messages per member in seven days, over all campaigns; 0 means without end.
CAMPAIGN_WEEKLY_CAP = env.int("CAMPAIGN_WEEKLY_CAP", default=3)
# A run that starts later than this after its time follows the campaign's late policy.
CAMPAIGN_LATE_MINUTES = env.int("CAMPAIGN_LATE_MINUTES", default=30)
# How many workers deliver one run at a time.
CAMPAIGN_WORKERS_PER_RUN = env.int("CAMPAIGN_WORKERS_PER_RUN", default=4)

LOGGING = logs.configuration(
    as_json=MODE != "demo", level=env.str("LOG_LEVEL", default="WARNING" if MODE == "test" else "INFO")
)
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

SESSION_COOKIE_AGE = 12 * 60 * 60
# The largest file that may be uploaded to be imported; it is streamed to disk.
IMPORT_MAX_BYTES = env.int("IMPORT_MAX_BYTES", default=2 * 1024**3)
FILE_UPLOAD_HANDLERS = [
    "members.importing.uploads.LimitHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = PRODUCTION and env.bool("SECURE_SSL_REDIRECT", default=True)
# Machines inside ask for these by plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_REFERRER_POLICY = "same-origin"
if env.bool("BEHIND_PROXY", default=False):
    # Only where the proxy sets this header itself; otherwise anybody could.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
        "report-uri": "/csp-report",
    }
}
