"""Addresses of the KPI pages."""

from django.urls import path

from analytics.views import experiments, lists, pages, value

app_name = "analytics"

urlpatterns = [
    path("overview/", pages.overview, name="overview"),
    path("retention/", pages.retention, name="retention"),
    path("redemption/", pages.redemption, name="redemption"),
    path("nps/", pages.net_promoter, name="nps"),
    path("nps/answers/", lists.answers, name="answers"),
    path("nps/answers/csv/", lists.answers_csv, name="answers_csv"),
    path("ab/", experiments.ab, name="ab"),
    path("ab/<int:pk>/", experiments.ab_result, name="ab_result"),
    path("value/", value.lifetime_value, name="value"),
    path("value/refresh/", value.refresh, name="value-refresh"),
    path("members/", lists.members, name="members"),
    path("members/csv/", lists.members_csv, name="members_csv"),
    path("metrics/", pages.metrics, name="metrics"),
    path("csv/<slug:key>/", lists.metric_csv, name="csv"),
]
