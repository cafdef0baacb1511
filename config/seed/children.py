"""How a process begins that builds a part. Imports no model: what it does comes first."""

import signal

import django
from django.db import connection

from config.processes import die_with_parent


def begin_child(database: str) -> None:
    """Set Django up in a process that was spawned, on this database, and end it with its parent."""
    die_with_parent(signal.SIGKILL)
    django.setup()
    connection.settings_dict["NAME"] = database
