#!/usr/bin/env python
"""Run a management command of Steadfast."""

import os
import sys

# Commands that look at no row: they must not start a server.
WITHOUT_DATABASE = frozenset(
    {"build_assets", "collectstatic", "compilemessages", "diffsettings", "help", "makemessages", "version"}
)


def main() -> None:
    """Start the embedded servers if the command needs them, then hand the command line to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from config import embedded

    arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] not in WITHOUT_DATABASE and not {"--help", "-h"} & set(arguments):
            embedded.hold()
        execute_from_command_line(sys.argv)
    except (embedded.Unavailable, ImproperlyConfigured) as trouble:
        sys.exit(str(trouble))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        embedded.release()


if __name__ == "__main__":
    main()
