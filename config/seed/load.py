"""Writing what was drawn: COPY for what people did, the rooms' own writers for what the programme gives."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from django.conf import settings

from config.seed import behaviour, voices
from config.seed.chunk import Calendar, Chunk
from config.seed.copying import Jsonb, copy, next_ids
from members.models import Consent, Interaction, Member, Purchase, SurveyResponse

Rows = Iterator[tuple[Any, ...]]

SOURCE = "sample"


def write_members(chunk: Chunk, calendar: Calendar) -> None:
    """COPY the members and what they agreed to."""
    now = calendar.now
    copy(
        Member,
        [
            "id", "number", "external_id", "given_name", "family_name", "email", "phone", "gender", "birth_date",
            "joined_at", "status", "language", "time_zone", "attributes", "created_at", "updated_at",
        ],
        (
            (
                int(key), who.number, who.external_id, who.given_name, who.family_name, who.email, who.phone,
                who.gender, who.birth_date, who.joined_at, "active", who.language, "",
                Jsonb({"city": who.city}), now, now,
            )
            for key, who in zip(chunk.ids, chunk.people, strict=True)
        ),
    )  # fmt: skip
    copy(Consent, ["member_id", "channel", "granted", "changed_at", "source"], _consents(chunk))


def _consents(chunk: Chunk) -> Rows:
    for key, who in zip(chunk.ids, chunk.people, strict=True):
        for channel, granted in (("email", who.email_consent), ("sms", who.sms_consent)):
            if granted is not None:
                yield int(key), channel, granted, who.joined_at, SOURCE


def write_purchases(chunk: Chunk, calendar: Calendar) -> None:
    """COPY the purchases in order of time."""
    now = calendar.now
    bought = chunk.purchases
    purchase_ids = next_ids(Purchase, len(bought.member))
    currency = settings.PROGRAMME_CURRENCY

    def rows() -> Rows:
        for i, key in enumerate(purchase_ids):
            receipt = f"S-{chunk.number:02d}{i:07d}"
            channel = behaviour.CHANNELS[bought.channel[i]]
            amount = f"{bought.amount[i]:.2f}"
            yield (
                key, int(chunk.ids[bought.member[i]]), receipt, receipt, calendar.moment(int(bought.second[i])),
                amount, currency, 1, amount, channel, behaviour.STORES[bought.store[i]] if channel == "store" else "",
                behaviour.CATEGORIES[bought.category[i]], now,
            )  # fmt: skip

    copy(
        Purchase,
        [
            "id", "member_id", "key", "external_id", "purchased_at", "amount", "currency", "rate", "value",
            "channel", "store", "category", "created_at",
        ],
        rows(),
    )  # fmt: skip


def write_answers(rng: np.random.Generator, chunk: Chunk, calendar: Calendar) -> None:
    """COPY survey answers: after about one purchase in thirty."""
    bought = chunk.purchases
    asked = np.flatnonzero(rng.random(len(bought.member)) < 0.033)
    when = bought.second[asked] + rng.integers(3600, 3 * 86_400, len(asked))
    inside = when < calendar.days * 86_400
    asked, when = asked[inside], when[inside]
    member = bought.member[asked]
    scores = behaviour.scores(rng, chunk.traits.content[member], when / (calendar.days * 86_400))
    now = calendar.now
    copy(
        SurveyResponse,
        ["member_id", "key", "external_id", "survey", "score", "comment", "answered_at", "properties", "created_at"],
        (
            (
                int(chunk.ids[member[i]]), f"{SOURCE}:{chunk.ids[0]}:{i}", "", "nps", int(scores[i]),
                voices.comment(rng, int(scores[i]), chunk.people[member[i]].language),
                calendar.moment(int(when[i])), Jsonb({}), now,
            )
            for i in range(len(asked))
        ),
    )  # fmt: skip


def write_interactions(rng: np.random.Generator, chunk: Chunk, calendar: Calendar) -> None:
    """COPY check-ins, reviews and shares on days around purchases."""
    bought = chunk.purchases
    picked = np.flatnonzero(rng.random(len(bought.member)) < 0.12)
    kinds = rng.choice(["check-in", "review", "share"], len(picked), p=[0.7, 0.2, 0.1])
    when = bought.second[picked] + rng.integers(60, 7200, len(picked))
    now = calendar.now
    copy(
        Interaction,
        ["member_id", "key", "kind", "occurred_at", "channel", "properties", "created_at"],
        (
            (
                int(chunk.ids[bought.member[picked[i]]]), f"{SOURCE}:{chunk.ids[0]}:{i}", str(kinds[i]),
                calendar.moment(int(when[i])), "app", Jsonb({}), now,
            )
            for i in range(len(picked))
        ),
    )  # fmt: skip
