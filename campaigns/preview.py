"""A message as one member would get it, for the eyes of the person who writes it."""

from csp.constants import NONE
from django.core.mail import get_connection
from django.db.models.expressions import RawSQL

from campaigns import links, mail
from campaigns.content import Rendered, compile_content, render
from campaigns.models import Campaign, Variant
from campaigns.promise import points_and_tier
from members import conditions, lookup
from members.models import Member
from staff.models import User

# What was written by a person is shown as a page of its own that may do nothing: no scripts, no forms,
# not even our origin. Pictures may come from the shop.
CSP: dict[str, list[str]] = {
    "default-src": [NONE],
    "img-src": ["https:", "http:", "data:"],
    "style-src": ["'unsafe-inline'"],
    "font-src": ["https:"],
    "form-action": [NONE],
    "base-uri": [NONE],
    "frame-ancestors": ["'self'"],
    "sandbox": ["allow-popups", "allow-popups-to-escape-sandbox"],
}


def member_like(text: str, campaign: Campaign, user: User) -> Member | None:
    """The member whom the text of this user means; without a text the first of the audience, or of all."""
    if text.strip():
        found = lookup.find(text, limit=1, contacts=lookup.contacts_for(user))
        return found[0] if found else None
    try:
        conditions.validate(campaign.audience)
        sql, parameters = conditions.members_sql(campaign.audience)
    except conditions.ConditionError:
        sql, parameters = conditions.members_sql({})
    return Member.objects.filter(pk__in=RawSQL(sql, parameters)).order_by("pk").first()  # noqa: S611 (ours)


def as_member(variant: Variant, member: Member) -> Rendered:
    """The message for one member, with links that do nothing. Raises ``ContentError``, ``RenderError``."""
    points, tier = points_and_tier(member)
    values = mail.merge_values(member, points=points, tier=tier, message_id=links.TEST_MESSAGE)
    return render(compile_content(variant.subject, variant.body), values)


def send_test(variant: Variant, member: Member, user: User) -> None:
    """Send the message to the person at the desk, as that member would get it.

    Raises ``ContentError``, ``RenderError``, and ``OSError`` or ``SMTPException`` from the mail server.
    """
    points, tier = points_and_tier(member)
    values = mail.merge_values(member, points=points, tier=tier, message_id=links.TEST_MESSAGE)
    compiled = compile_content(variant.subject, variant.body)
    message = mail.build(compiled, values, to=user.email, message_id=links.TEST_MESSAGE, campaign="test")
    message.subject = f"[Test {variant.key}] {message.subject}"
    message.connection = get_connection()
    message.send()
