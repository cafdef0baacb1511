"""An installed Chromium, and how it is started."""

import os
import shutil

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = "No Chromium: install one (on Debian: apt-get install chromium) or name it in CHROMIUM."


def find() -> str | None:
    """The path of a Chromium: ``CHROMIUM`` in the environment, else one on the path, else None."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)
