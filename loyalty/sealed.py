"""What sealing the ledger keeps: blocks, and the sums that each of them adds once. Part of ``loyalty.models``."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class Block(models.Model):
    """A sealed stretch of the ledger. Append-only: a trigger refuses every UPDATE, DELETE and TRUNCATE.

    ``hash`` is over ``previous_hash`` and every column of the entries, as ``form`` says
    (:mod:`loyalty.ledger.sealing`). Ids and prints of the entries name the one that was changed.
    """

    number = models.BigIntegerField(primary_key=True)
    form = models.PositiveSmallIntegerField()
    first_entry = models.BigIntegerField()
    last_entry = models.BigIntegerField(unique=True)
    entries = models.PositiveIntegerField()
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)
    entry_ids = ArrayField(models.BigIntegerField())
    entry_prints = ArrayField(models.BigIntegerField())
    sealed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(number__gt=0, entries__gt=0, last_entry__gte=F("first_entry")), name="loyalty_block_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {bytes(self.hash).hex()[:12]}"


class SealNote(models.Model):
    """The one row that sealing keeps: up to where it may seal once which transactions are over, and the last block."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    last_entry = models.BigIntegerField()
    transaction = models.BigIntegerField()
    noted_at = models.DateTimeField()
    number = models.BigIntegerField(null=True)
    hash = models.BinaryField(max_length=32, null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="loyalty_seal_note_once")]

    def __str__(self) -> str:
        return f"{self.last_entry}"


class EntryMonth(models.Model):
    """Sealed entries of one kind that happened in one month of ``zone`` (:mod:`loyalty.ledger.rollup`)."""

    zone = models.CharField(max_length=64)
    month = models.DateField()
    kind = models.CharField(max_length=8)
    points = models.BigIntegerField()
    debt = models.BigIntegerField()
    entries = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["month", "kind"], name="loyalty_entry_month_once")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.kind} {self.points:+d}"


class LotMonth(models.Model):
    """How sealed entries moved the points that came in month ``issued`` (:mod:`loyalty.ledger.rollup`)."""

    issued = models.DateField()
    expires = models.DateField(null=True)
    slides = models.BooleanField()
    month = models.DateField()
    kind = models.CharField(max_length=8)
    points = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["issued", "expires", "slides", "month", "kind"],
                name="loyalty_lot_month_once",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.issued:%Y-%m} {self.month:%Y-%m} {self.kind} {self.points:+d}"
