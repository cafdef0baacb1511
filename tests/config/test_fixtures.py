"""The fixtures that other tests rely on are real servers."""

import pytest
from django.core.mail import send_mail

from config.celery import app
from tests.conftest import Mailbox, Worker


def test_mail_arrives_over_smtp(mailbox: Mailbox):
    send_mail("Hello", "你好", "desk@example.com", ["member@example.com"])
    assert [m["Subject"] for m in mailbox.messages] == ["Hello"]
    assert mailbox.messages[0].get_content().strip() == "你好"


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_can_be_started_again(worker: Worker):
    worker.kill()
    worker.start()
    assert app.control.ping(timeout=2)
