"""Earning rules: what a purchase is worth in points, and why."""

from loyalty.rules.engine import Earned, Terms, TierTerms, earn
from loyalty.rules.versions import NotADraft, activate, active_version, draft, terms_of

__all__ = ["Earned", "NotADraft", "Terms", "TierTerms", "activate", "active_version", "draft", "earn", "terms_of"]
