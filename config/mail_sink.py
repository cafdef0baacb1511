"""The demo's mail server, ``python -m config.mail_sink PORT DIRECTORY``: keeps what it is given, sends nothing on."""

import asyncio
import itertools
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session

LARGEST_MESSAGE = 25 * 1024**2


class Keep:
    """Writes each message to a file of its own, named by the time it came."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._serial = itertools.count(1)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's name)
        """Keep one message, with the envelope's addresses on top."""
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S}.{now.microsecond:06}-{next(self._serial):06}.eml"
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        head = "".join(f"X-Envelope-To: {recipient}\r\n" for recipient in envelope.rcpt_tos).encode()
        part = self._directory / f".{name}"
        part.write_bytes(head + content)
        part.rename(self._directory / name)
        return "250 kept"


def main() -> None:
    """Listen on 127.0.0.1 until told to stop."""
    port, directory = int(sys.argv[1]), Path(sys.argv[2])
    loop = asyncio.new_event_loop()
    controller = UnthreadedController(
        Keep(directory), hostname="127.0.0.1", port=port, loop=loop, data_size_limit=LARGEST_MESSAGE
    )
    controller.begin()  # type: ignore[no-untyped-call]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, loop.stop)
    loop.run_forever()
    controller.end()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
