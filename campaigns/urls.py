"""Addresses under ``/campaigns/``."""

from django.urls import path

from campaigns.views import campaigns, editor, public

app_name = "campaigns"

urlpatterns = [
    path("", campaigns.campaign_list, name="list"),
    path("new/", editor.create, name="new"),
    path("<int:pk>/", campaigns.campaign, name="campaign"),
    path("<int:pk>/messages/", campaigns.message_list, name="messages"),
    path("<int:pk>/copy/", campaigns.copy, name="copy"),
    path("<int:pk>/delete/", campaigns.delete, name="delete"),
    path("<int:pk>/do/<slug:action>/", campaigns.act, name="act"),
    path("<int:pk>/launch/", editor.launch, name="launch"),
    path("<int:pk>/reach/", editor.reach, name="reach"),
    path("<int:pk>/split/", editor.split, name="split"),
    path("<int:pk>/content/", editor.keep_content, name="keep_content"),
    path("<int:pk>/one-variant/", editor.one_variant, name="one_variant"),
    path("<int:pk>/test/", editor.send_test, name="send_test"),
    path("<int:pk>/preview/<slug:key>/", editor.preview_frame, name="preview"),
    path("<int:pk>/edit/<slug:step>/", editor.edit, name="edit"),
    path("link/c/<str:token>", public.click, name="click"),
    path("link/o/<str:token>.gif", public.pixel, name="pixel"),
    path("link/u/<str:token>", public.unsubscribe, name="unsubscribe"),
    path("link/v/<str:token>", public.read, name="read"),
]
