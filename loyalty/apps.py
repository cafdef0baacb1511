"""The room's application configuration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LoyaltyConfig(AppConfig):
    """The loyalty room."""

    name = "loyalty"

    def ready(self) -> None:
        """Fill in the room's acts, facts, timeline sources and import kinds; register its jobs."""
        from loyalty import (
            acts,
            adjustments,
            batches,
            catalogue,
            facts,
            history,
            joining,
            policies,
            refund_undo,
            refunding,
            reversals,
            transfers,
        )
        from loyalty.intake import releasing
        from loyalty.intake.behaviour_kinds import EarningInteractionKind, EarningSurveyResponseKind
        from loyalty.intake.purchase_kind import PurchaseKind
        from loyalty.intake.refund_kind import RefundKind
        from loyalty.ledger import expiry  # noqa: F401 (registers its job)
        from loyalty.rules import backtest, review, subjects  # noqa: F401 (backtest registers its job)
        from loyalty.tiers import proposals, recalculation  # noqa: F401 (recalculation registers its job)
        from members.conditions import uses
        from members.importing import kinds

        acts.register()
        adjustments.register()
        policies.register()
        proposals.register()
        catalogue.register()
        joining.register()
        post_migrate.connect(policies.ensure, sender=self)
        batches.register()
        transfers.register()
        reversals.register()
        refund_undo.register()
        refunding.register()
        releasing.register()
        facts.register()
        history.register()
        review.register()
        subjects.register()
        uses.register(subjects.keep)
        kinds.register(PurchaseKind())
        kinds.register(RefundKind())
        kinds.register(EarningInteractionKind())
        kinds.register(EarningSurveyResponseKind())
