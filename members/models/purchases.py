"""What members bought, and what of it was given back."""

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from members.models.imports import ImportRun
from members.models.people import Member


class PurchaseQuerySet(models.QuerySet["Purchase"]):
    """Reads of purchases."""

    def kept(self) -> "PurchaseQuerySet":
        """Without those that were given back whole: what the view ``members_net_purchase`` shows."""
        return self.filter(Q(refunded_value__lt=F("value")) | Q(value=0))


class Purchase(models.Model):
    """What a member bought at one time.

    ``key`` is its identity: the outside receipt number, or a hash of the content and of its place
    among identical rows. ``amount`` is in ``currency``; ``value`` is the same in the programme's
    currency at ``rate`` (programme currency per unit). ``refunded_value`` is what its refunds add up to:
    what counts as spend is :attr:`net_value`, in SQL the view ``members_net_purchase`` (docs/adr/0010).
    """

    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="purchases")
    key = models.CharField(max_length=128, unique=True)
    external_id = models.CharField(_("receipt"), max_length=128, blank=True)
    purchased_at = models.DateTimeField(_("time"))
    amount = models.DecimalField(_("amount"), max_digits=14, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    rate = models.DecimalField(max_digits=18, decimal_places=8, default=1)
    value = models.DecimalField(max_digits=14, decimal_places=2)
    refunded_value = models.DecimalField(max_digits=14, decimal_places=2, default=Decimal(0), db_default=Decimal(0))
    channel = models.CharField(_("channel"), max_length=32, blank=True)
    store = models.CharField(_("store"), max_length=64, blank=True)
    category = models.CharField(_("category"), max_length=64, blank=True)
    # Of all that the caller said; none where it came from a file, or before this was kept.
    input_hash = models.BinaryField(max_length=32, null=True)
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PurchaseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="members_purchase_amount_not_negative"),
            models.CheckConstraint(condition=Q(value__gte=0), name="members_purchase_value_not_negative"),
            models.CheckConstraint(
                condition=Q(refunded_value__gte=0, refunded_value__lte=F("value")),
                name="members_purchase_refunded_in_range",
            ),
        ]
        indexes = [
            models.Index(
                fields=["member", "purchased_at"],
                name="members_purchase_net_by_member",
                include=["value", "refunded_value"],
            ),
            models.Index(fields=["purchased_at"], name="members_purchase_by_time"),
        ]

    def __str__(self) -> str:
        return self.external_id or self.key

    @property
    def net_value(self) -> Decimal:
        """What is left of its value after refunds, in the programme's currency."""
        return self.value - self.refunded_value


class PurchaseLine(models.Model):
    """One line of a purchase. ``amount`` is what was paid for it, in the purchase's currency.

    A discount on the whole purchase is taken off its lines when they come in; what no line stands for
    (delivery, wrapping) is the purchase's amount less that of its lines.
    """

    purchase = models.ForeignKey(Purchase, on_delete=models.CASCADE, related_name="lines", db_index=False)
    line_no = models.PositiveIntegerField()
    sku = models.CharField(_("SKU"), max_length=64, blank=True)
    product = models.CharField(_("product"), max_length=200, blank=True)
    brand = models.CharField(_("brand"), max_length=64, blank=True)
    category = models.CharField(_("category"), max_length=64, blank=True)
    quantity = models.DecimalField(_("quantity"), max_digits=12, decimal_places=3, default=Decimal(1))
    amount = models.DecimalField(_("amount"), max_digits=14, decimal_places=2)
    value = models.DecimalField(max_digits=14, decimal_places=2)

    class Meta:
        ordering = ["line_no"]
        constraints = [
            models.UniqueConstraint(fields=["purchase", "line_no"], name="members_purchase_line_once"),
            models.CheckConstraint(
                condition=Q(quantity__gt=0, amount__gte=0, value__gte=0), name="members_purchase_line_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.product or self.sku or str(self.line_no)


class Refund(models.Model):
    """Money given back for a purchase, in the purchase's currency and at its rate.

    ``request`` is what was asked for. A refund of a purchase that has not come yet waits for it and has
    neither purchase nor amount; one that could not be applied when it came is refused, with the reason. One that
    was undone at the desk keeps its key, so that it does not come again.
    ``attempt`` counts how often it was applied: taking an import back can undo it until its purchase
    comes again.
    """

    class State(models.TextChoices):
        APPLIED = "applied", _("applied")
        WAITING = "waiting", _("waiting for its purchase")
        REFUSED = "refused", _("refused")
        UNDONE = "undone", _("undone")

    key = models.CharField(max_length=128, unique=True)
    external_id = models.CharField(_("outside id"), max_length=128, blank=True)
    purchase_key = models.CharField(max_length=128)
    purchase = models.ForeignKey(Purchase, null=True, on_delete=models.PROTECT, related_name="refunds")
    member = models.ForeignKey(Member, null=True, on_delete=models.PROTECT, related_name="refunds")
    refunded_at = models.DateTimeField(_("time"))
    request: Any = models.JSONField(default=dict)
    amount = models.DecimalField(_("amount"), max_digits=14, decimal_places=2, null=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    rate = models.DecimalField(max_digits=18, decimal_places=8, null=True)
    value = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    state = models.CharField(max_length=8, choices=State.choices)
    attempt = models.PositiveSmallIntegerField(default=0)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    problem = models.CharField(max_length=32, blank=True)
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")
    created_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # Refuses an unknown state as well.
            models.CheckConstraint(
                condition=Q(
                    state="applied",
                    purchase__isnull=False,
                    member__isnull=False,
                    amount__isnull=False,
                    rate__isnull=False,
                    value__isnull=False,
                )
                | Q(state="waiting", purchase__isnull=True)
                | Q(state__in=["refused", "undone"]),
                name="members_refund_state_is_whole",
            ),
            models.CheckConstraint(
                condition=(Q(amount__isnull=True) | Q(amount__gte=0)) & (Q(value__isnull=True) | Q(value__gte=0)),
                name="members_refund_not_negative",
            ),
        ]
        indexes = [
            models.Index(fields=["member", "refunded_at"], name="members_refund_by_member"),
            models.Index(fields=["purchase_key"], name="members_refund_waiting", condition=Q(state="waiting")),
        ]

    def __str__(self) -> str:
        return self.external_id or self.key


class RefundLine(models.Model):
    """What a refund gave back of one line. ``quantity`` is none where only money went back."""

    refund = models.ForeignKey(Refund, on_delete=models.CASCADE, related_name="lines", db_index=False)
    line = models.ForeignKey(PurchaseLine, on_delete=models.PROTECT, related_name="refunds")
    quantity = models.DecimalField(_("quantity"), max_digits=12, decimal_places=3, default=Decimal(0))
    amount = models.DecimalField(_("amount"), max_digits=14, decimal_places=2)
    value = models.DecimalField(max_digits=14, decimal_places=2)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["refund", "line"], name="members_refund_line_once"),
            models.CheckConstraint(
                condition=Q(quantity__gte=0, amount__gte=0, value__gte=0), name="members_refund_line_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.line_id}"
