"""Who the programme is for: members, the households in which they spend together, and what they agreed to."""

import zoneinfo

import pghistory
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from members.models.imports import ImportRun


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
