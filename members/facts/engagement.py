"""What a member did and answered, and how they may be reached."""

from django.utils.translation import gettext_lazy as _

from members.conditions.facts import Choice, Custom, Fact, FactType, Rows, Scalar, Sql, Test, in_days
from members.facts.choices import first_column

GROUP = _("Engagement")

# Hops from kind to kind along the index (kind, occurred_at) instead of reading every interaction.
INTERACTION_KINDS = """
    WITH RECURSIVE kinds AS (
        (SELECT kind FROM members_interaction ORDER BY kind LIMIT 1)
        UNION ALL
        SELECT (SELECT i.kind FROM members_interaction i WHERE i.kind > k.kind ORDER BY i.kind LIMIT 1)
        FROM kinds k WHERE k.kind IS NOT NULL
    )
    SELECT kind FROM kinds WHERE kind IS NOT NULL LIMIT 100
"""

LAST_SCORES = """
    SELECT DISTINCT ON (r.member_id) r.member_id, r.score AS value FROM members_surveyresponse r
    WHERE r.member_id IS NOT NULL AND r.score IS NOT NULL
    ORDER BY r.member_id, r.answered_at DESC NULLS LAST, r.id DESC
"""


def interaction_kinds() -> list[Choice]:
    """Every kind of interaction there is, as its own label."""
    return [(kind, kind) for kind in first_column(INTERACTION_KINDS)]


def _interaction(test: Test) -> Sql:
    return Sql(
        "EXISTS (SELECT 1 FROM members_interaction i WHERE i.member_id = m.id AND i.kind = ANY(%s)"
        " AND i.occurred_at >= %s AND i.occurred_at <= %s)",
        (list(test.value), test.since, test.now),
    )


FACTS = [
    Fact(
        key="member.last_score",
        group=GROUP,
        label=_("Last survey score"),
        type=FactType.INTEGER,
        minimum=0,
        maximum=10,
        sql=Rows(LAST_SCORES),
        phrases={
            "gte": _("gave a score of at least %(value)s last"),
            "lte": _("gave a score of at most %(value)s last"),
            "gt": _("gave a score of more than %(value)s last"),
            "lt": _("gave a score of less than %(value)s last"),
            "eq": _("gave a score of %(value)s last"),
            "between": _("gave a score of %(low)s to %(high)s last"),
        },
    ),
    Fact(
        key="member.interaction",
        group=GROUP,
        label=_("Interaction"),
        type=FactType.CHOICE,
        choices=interaction_kinds,
        open_choices=True,
        parameter=in_days(90),
        sql=Custom(_interaction),
        phrases={
            "in": _("had the interaction %(value)s in the last %(days)s days"),
            "not_in": _("did not have the interaction %(value)s in the last %(days)s days"),
        },
    ),
    Fact(
        key="member.has_email",
        group=GROUP,
        label=_("Has an e-mail address"),
        type=FactType.BOOLEAN,
        sql=Scalar("m.email <> ''", nullable=False),
        phrases={"yes": _("have an e-mail address"), "no": _("have no e-mail address")},
    ),
    Fact(
        key="member.email_consent",
        group=GROUP,
        label=_("Agreed to e-mail"),
        type=FactType.BOOLEAN,
        sql=Scalar(
            "EXISTS (SELECT 1 FROM members_consent c WHERE c.member_id = m.id AND c.channel = 'email' AND c.granted)",
            nullable=False,
        ),
        phrases={"yes": _("agreed to e-mail"), "no": _("did not agree to e-mail")},
    ),
]
