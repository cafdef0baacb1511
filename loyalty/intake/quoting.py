"""What a basket would earn, and why."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from loyalty.intake.lines import LineInput
from loyalty.intake.recording import Recorded, record_purchase
from loyalty.rules import Refusal, simulation


def quote(
    *,
    member_id: int,
    at: datetime,
    amount: Decimal,
    currency: str = "",
    rate: Decimal | None = None,
    channel: str = "",
    store: str = "",
    category: str = "",
    lines: Sequence[LineInput] = (),
    discount: Decimal = Decimal(0),
    charges: Decimal = Decimal(0),
) -> tuple[Recorded, list[Refusal]]:
    """What :func:`~loyalty.intake.record_purchase` would do now, caps and tier included; it raises the same.

    With it comes why each other rule would give nothing.

    It is done and rolled back, so the answer is the truth of this moment and nothing is left of it.
    """
    with transaction.atomic():
        recorded = record_purchase(
            member_id=member_id,
            key=f"quote:{uuid.uuid4()}",
            purchased_at=at,
            amount=amount,
            currency=currency,
            rate=rate,
            channel=channel,
            store=store,
            category=category,
            lines=lines,
            discount=discount,
            charges=charges,
        )
        refusals = simulation.explain(recorded.purchase).refusals
        transaction.set_rollback(True)
    return recorded, refusals
