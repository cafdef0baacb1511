"""Every address of the desk, by room."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

from config import csp, home, views
from staff import look, preferences

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    path("home/needs/", home.home_needs, name="home_needs"),
    path("home/figures/", home.home_figures, name="home_figures"),
    path("accounts/", include("staff.sign_in_urls")),
    path("preferences/theme/", preferences.set_theme, name="set_theme"),
    path("preferences/language/", preferences.set_language, name="set_language"),
    path("campaigns/", include("campaigns.urls")),
    path("members/", include("members.urls")),
    path("programme/", include("loyalty.urls")),
    path("analytics/", include("analytics.urls")),
    path("desk/", include("staff.urls")),
    path("api/v1/", include("config.api")),
    path("desk/health/", views.health_page, name="health"),
    path("desk/health/verification/", views.health_verification, name="health_verification"),
    path("desk/health/pill/", views.health_pill, name="health_pill"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics_page, name="metrics"),
    path("csp-report", csp.report, name="csp-report"),
]

if not settings.PRODUCTION:
    urlpatterns += [path("look/", look.page, name="look")]
