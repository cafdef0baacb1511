"""Many connections at the same moment."""

import threading
from collections import Counter
from collections.abc import Callable

from django.db import connection


def at_once(*attempts: Callable[[], object]) -> Counter[str]:
    """Run each attempt on a connection of its own, all let go together; count what came of them."""
    gate = threading.Barrier(len(attempts))
    outcomes: Counter[str] = Counter()

    def attempt(do: Callable[[], object]) -> None:
        connection.ensure_connection()
        gate.wait()
        try:
            do()
            outcomes["done"] += 1
        except Exception as error:
            outcomes[type(error).__name__] += 1
        finally:
            connection.close()

    threads = [threading.Thread(target=attempt, args=(do,)) for do in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
