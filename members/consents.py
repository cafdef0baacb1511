"""Whether a member may be written to by a channel, and who changed it why."""

from django.db import transaction
from django.utils import timezone

from members.models import Consent, Member
from staff import audit
from staff.models import User

SOURCE = "desk"


@transaction.atomic
def change(*, member: Member, channel: Consent.Channel, granted: bool, reason: str, user: User) -> bool:
    """Record what the member said at the desk, with the reason in the audit. False where they had said so before."""
    now = timezone.now()
    consent, is_new = Consent.objects.get_or_create(
        member=member, channel=channel, defaults={"granted": granted, "changed_at": now, "source": SOURCE}
    )
    if not is_new:
        changed = Consent.objects.filter(pk=consent.pk, granted=not granted).update(
            granted=granted, changed_at=now, source=SOURCE
        )
        if not changed:
            return False
    audit.record(
        user,
        "member.consent",
        member,
        detail={"channel": str(channel), "granted": granted, "reason": reason, "was": None if is_new else not granted},
    )
    return True
