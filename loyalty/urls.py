"""The addresses of the programme. Those of one member end in a fixed word: a number may look like anything."""

from django.urls import path

from loyalty.views import adjusting, ledger, member, redemptions, rewards, rules, settings, tiers

app_name = "loyalty"

urlpatterns = [
    path("tiers/", tiers.tier_list, name="tiers"),
    path("tiers/start/", tiers.start, name="programme-start"),
    path("tiers/preview/", tiers.preview, name="tiers-preview"),
    path("tiers/save/", tiers.save, name="tiers-save"),
    path("rules/", rules.rule, name="rules"),
    path("rules/draft/", rules.draft, name="rule-draft"),
    path("rules/<int:pk>/activate/", rules.activate, name="rule-activate"),
    path("rewards/", rewards.reward_list, name="rewards"),
    path("rewards/new/", rewards.create, name="reward-new"),
    path("rewards/<int:pk>/", rewards.edit, name="reward"),
    path("redemptions/", redemptions.redemption_list, name="redemptions"),
    path("redemptions/<int:pk>/advance/", redemptions.advance, name="redemption-advance"),
    path("redemptions/<int:pk>/cancel/", redemptions.cancel, name="redemption-cancel"),
    path("settings/", settings.settings, name="settings"),
    path("settings/reasons/<int:pk>/", settings.reason, name="adjust-reason"),
    path("ledger/", ledger.page, name="ledger"),
    path("ledger/movement.csv", ledger.movement_csv, name="ledger-movement-csv"),
    path("ledger/expiry.csv", ledger.expiry_csv, name="ledger-expiry-csv"),
    path("ledger/entries/", ledger.entries, name="ledger-entries"),
    path("ledger/entries.csv", ledger.entries_csv, name="ledger-entries-csv"),
    path("ledger/expiring/", ledger.expiring_members, name="ledger-expiring"),
    path("ledger/expiring.csv", ledger.expiring_csv, name="ledger-expiring-csv"),
    path("members/<path:number>/badge/", member.badge, name="member-badge"),
    path("members/<path:number>/summary/", member.summary, name="member-summary"),
    path("members/<path:number>/lots/", member.lots, name="member-lots"),
    path("members/<path:number>/redeem/", member.redeem, name="member-redeem"),
    path("members/<path:number>/pool/", member.pool, name="member-pool"),
    path("households/<int:pk>/pool/", member.household_pool, name="household-pool"),
    path("members/<path:number>/adjust/", adjusting.adjust, name="member-adjust"),
    path("members/<path:number>/waiting/", adjusting.waiting, name="member-waiting"),
    path("entries/<int:pk>/reverse/", adjusting.reverse_entry, name="entry-reverse"),
]
