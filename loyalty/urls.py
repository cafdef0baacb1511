"""The addresses of the programme. Those of one member end in a fixed word: a number may look like anything."""

from django.urls import path

from loyalty.views import adjusting, ledger, member, redemptions, rewards, rule_builder, rules, settings, tiers

app_name = "loyalty"

urlpatterns = [
    path("tiers/", tiers.tier_list, name="tiers"),
    path("tiers/start/", tiers.start, name="programme-start"),
    path("tiers/preview/", tiers.preview, name="tiers-preview"),
    path("tiers/save/", tiers.save, name="tiers-save"),
    path("rules/", rules.rule_list, name="rules"),
    path("rules/new/", rule_builder.new, name="rule-new"),
    path("rules/<int:pk>/", rules.rule, name="rule"),
    path("rules/versions/<int:pk>/edit/", rule_builder.edit, name="rule-edit"),
    path("rules/versions/<int:pk>/read/", rule_builder.read, name="rule-read"),
    path("rules/versions/<int:pk>/redraw/", rule_builder.redraw, name="rule-redraw"),
    path("rules/versions/<int:pk>/copy/", rule_builder.copy, name="rule-copy"),
    path("rules/versions/<int:pk>/submit/", rules.submit, name="rule-submit"),
    path("rules/versions/<int:pk>/approve/", rules.approve, name="rule-approve"),
    path("rules/versions/<int:pk>/refuse/", rules.refuse, name="rule-refuse"),
    path("rules/versions/<int:pk>/take-back/", rules.take_back, name="rule-take-back"),
    path("rules/versions/<int:pk>/activate/", rules.activate, name="rule-activate"),
    path("rules/versions/<int:pk>/retire/", rules.retire, name="rule-retire"),
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
