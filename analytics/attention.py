"""What needs a person, for the overview: results that must not be trusted, and results to act on."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Max
from django.urls import reverse
from django.utils.translation import gettext as _

from analytics.conclusions import conclude
from analytics.measures import experiments
from analytics.models import ArmDay
from analytics.periods import today
from campaigns.models import Campaign

# Campaigns whose last member was reached so long ago are history.
RECENT = timedelta(days=180)
MOST = 4


@dataclass(frozen=True)
class Need:
    """One line: a badge (words and tone), what is the matter, where it leads and what that link says."""

    badge: str
    tone: str
    text: str
    url: str
    link: str


def what_needs_you() -> list[Need]:
    """Unbalanced experiments first, then those that can be decided."""
    since = today() - RECENT
    recent = ArmDay.objects.values("campaign_id").annotate(last=Max("day")).filter(last__gte=since)
    ids = [row["campaign_id"] for row in recent]
    campaigns = Campaign.objects.filter(pk__in=ids, imported=False).select_related("experiment").order_by("-pk")[:20]
    bad, ready = [], []
    for result in experiments.results(campaigns):
        conclusion = conclude(result)
        url = reverse("analytics:ab_result", args=[result.campaign.pk])
        named = _("“%(campaign)s”: %(sentence)s") % {"campaign": result.campaign.name, "sentence": conclusion.title}
        if conclusion.tone == "bad":
            bad.append(Need(_("A/B"), "bad", named, url, _("See why")))
        elif conclusion.tone == "accent":
            ready.append(Need(_("A/B"), "good", named, url, _("See the result")))
    return [*bad, *ready][:MOST]
