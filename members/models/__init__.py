"""Who the programme is for, and what they did."""

import zoneinfo
from decimal import Decimal
from typing import Any

import pghistory
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from members.models.experiments import Experiment, Exposure
from members.models.imports import ImportRun
from members.models.segments import Segment, SegmentBuild, SegmentMember

__all__ = [
    "Consent",
    "Experiment",
    "Exposure",
    "Household",
    "ImportChange",
    "ImportRun",
    "Interaction",
    "Member",
    "Purchase",
    "PurchaseLine",
    "PurchaseQuerySet",
    "Refund",
    "RefundLine",
    "Segment",
    "SegmentBuild",
    "SegmentMember",
    "SurveyResponse",
    "validate_time_zone",
]


def validate_time_zone(value: str) -> None:
    """Refuse a name that is no IANA time zone."""
    if value and value not in zoneinfo.available_timezones():
        raise ValidationError(_("“%(zone)s” is not a time zone."), params={"zone": value})


@pghistory.track(append_only=True)
class Household(models.Model):
    """Members who spend their points together: a family, or the people of a company (``members.households``)."""

    class Kind(models.TextChoices):
        HOUSEHOLD = "household", _("household")
        COMPANY = "company", _("company")

    name = models.CharField(pgettext_lazy("of a household", "name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.HOUSEHOLD)
    created_by = models.ForeignKey("staff.User", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("household")
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["household", "company"]), name="members_household_kind"),
        ]
        indexes = [GinIndex(OpClass(Upper("name"), name="gin_trgm_ops"), name="members_household_name")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Its page."""
        return reverse("members:household", args=[self.pk])


# Only moves between households: every other change of a member is no configuration, and there are millions of them.
@pghistory.track(
    pghistory.UpdateEvent("household", condition=pghistory.AnyChange("household")),
    fields=["household"],
    model_name="HouseholdMove",
    append_only=True,
)
class Member(models.Model):
    """A person in the programme.

    ``number`` is what stands on the card; ``external_id`` is the company's own key for the person.
    ``joined_at`` is the enrolment. Phones are kept in E.164 where they could be read, e-mail in
    lower case.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        BLOCKED = "blocked", _("blocked")
        CLOSED = "closed", _("closed")

    class Gender(models.TextChoices):
        FEMALE = "F", _("female")
        MALE = "M", _("male")
        OTHER = "O", _("other")

    number = models.CharField(_("number"), max_length=32, unique=True)
    external_id = models.CharField(_("outside id"), max_length=128, null=True, unique=True)
    given_name = models.CharField(_("given name"), max_length=100, blank=True)
    family_name = models.CharField(_("family name"), max_length=100, blank=True)
    email = models.EmailField(_("e-mail"), max_length=254, blank=True)
    phone = models.CharField(_("phone"), max_length=20, blank=True)
    gender = models.CharField(_("gender"), max_length=1, choices=Gender.choices, blank=True)
    birth_date = models.DateField(_("birthday"), null=True)
    joined_at = models.DateTimeField(_("member since"))
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.ACTIVE)
    language = models.CharField(_("language"), max_length=10, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    attributes = models.JSONField(default=dict)
    household = models.ForeignKey(
        Household, null=True, on_delete=models.PROTECT, related_name="members", db_index=False
    )
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["active", "blocked", "closed"]), name="members_member_status"
            ),
            models.CheckConstraint(condition=~Q(external_id=""), name="members_member_external_id_filled"),
        ]
        # The indexes of lookup are in migration 0002.
        indexes = [
            models.Index(fields=["joined_at", "id"], name="members_member_by_joined"),
            models.Index(
                fields=["household"], name="members_member_by_household", condition=Q(household__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        """The name as it is said: family name first, without a space, where it is Chinese."""
        if any("\u4e00" <= char <= "\u9fff" for char in self.family_name):
            return f"{self.family_name}{self.given_name}"
        return f"{self.given_name} {self.family_name}".strip() or self.number


class ImportChange(models.Model):
    """What an import changed on a member who was there before: the fields as they were and as they became."""

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="changes")
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="+")
    before: Any = models.JSONField()
    after: Any = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "member"], name="members_import_change_once")]

    def __str__(self) -> str:
        return f"{self.member_id} in {self.run_id}"


class Consent(models.Model):
    """Whether a member agreed to be written to by one channel, and since when."""

    class Channel(models.TextChoices):
        EMAIL = "email", _("e-mail")
        SMS = "sms", _("SMS")
        PUSH = "push", _("push")

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="consents")
    channel = models.CharField(max_length=8, choices=Channel.choices)
    granted = models.BooleanField()
    changed_at = models.DateTimeField()
    source = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["member", "channel"], name="members_consent_once"),
            models.CheckConstraint(condition=Q(channel__in=["email", "sms", "push"]), name="members_consent_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {'yes' if self.granted else 'no'}"


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


class Interaction(models.Model):
    """Anything a member did that is no purchase: a check-in, a review, a visit."""

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="interactions")
    key = models.CharField(max_length=128, unique=True)
    kind = models.CharField(_("kind"), max_length=64)
    occurred_at = models.DateTimeField(_("time"))
    channel = models.CharField(_("channel"), max_length=32, blank=True)
    properties = models.JSONField(default=dict)
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["member", "occurred_at"], name="members_interaction_by_member"),
            models.Index(fields=["kind", "occurred_at"], name="members_interaction_by_kind"),
        ]

    def __str__(self) -> str:
        return self.kind


class SurveyResponse(models.Model):
    """One answer to "would you recommend us", 0 to 10, with its comment.

    ``member`` is empty for anonymous answers; ``score`` where none was given; ``answered_at`` where
    the day is unknown.
    """

    member = models.ForeignKey(Member, null=True, on_delete=models.SET_NULL, related_name="survey_responses")
    key = models.CharField(max_length=128, unique=True)
    external_id = models.CharField(max_length=128, blank=True)
    survey = models.CharField(_("survey"), max_length=64, default="nps")
    score = models.SmallIntegerField(_("score"), null=True)
    comment = models.TextField(_("comment"), blank=True)
    answered_at = models.DateTimeField(_("time"), null=True)
    properties = models.JSONField(default=dict)
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(score__isnull=True) | Q(score__gte=0, score__lte=10), name="members_response_score_range"
            ),
        ]
        indexes = [
            models.Index(fields=["member", "answered_at"], name="members_response_by_member"),
            models.Index(fields=["answered_at"], name="members_response_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.survey} {self.score}"
