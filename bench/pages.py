"""Opening pages, against the cheapest page of the desk and against counting the raw rows anew."""

from collections.abc import Iterator
from functools import partial

from django.db import connection
from django.test import Client
from django.urls import reverse

from bench.measuring import Measurement, median_seconds
from loyalty.models import Entry
from staff.models import User

FLOOR = "a page of the desk without figures (its API keys)"
RETENTION_FROM_RAW = """
WITH first AS (
    SELECT member_id, date_trunc('month', min(purchased_at)) AS cohort FROM members_purchase GROUP BY member_id)
SELECT cohort, date_trunc('month', purchased_at) AS month, count(DISTINCT member_id)
  FROM members_purchase JOIN first USING (member_id) GROUP BY 1, 2
"""


def measure(size: int) -> Iterator[Measurement]:
    """The KPI pages, the member page and the search, each the median of five."""
    client = Client()
    client.force_login(User.objects.create_user(f"bench{size}@example.com", name="Bench", role="administrator"))
    floor = median_seconds(lambda: _open(client, reverse("staff:api_keys")))
    busiest = Entry.objects.order_by("-seq").values_list("member__number", flat=True)[0]
    addresses = {
        "overview page": reverse("analytics:overview"),
        "retention page": reverse("analytics:retention"),
        "redemption page": reverse("analytics:redemption"),
        "NPS page": reverse("analytics:nps"),
        "member page, the busiest member": reverse("members:member", args=[busiest]),
        "find a member by name": reverse("members:find") + "?q=wang",
    }
    for name, address in addresses.items():
        ours = median_seconds(partial(_open, client, address))
        yield Measurement(name=name, floor_name=FLOOR, rows=1, ours=ours, floor=floor)
    yield Measurement(
        name="retention page",
        floor_name="its counts alone, from the raw purchases",
        rows=1,
        ours=median_seconds(lambda: _open(client, addresses["retention page"])),
        floor=median_seconds(_count_raw),
    )


def _open(client: Client, address: str) -> None:
    response = client.get(address, secure=True, HTTP_HOST="127.0.0.1")
    if response.status_code != 200:
        raise RuntimeError(f"{address} answers {response.status_code}")


def _count_raw() -> None:
    with connection.cursor() as cursor:
        cursor.execute(RETENTION_FROM_RAW)
        cursor.fetchall()
