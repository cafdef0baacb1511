"""The addresses of members. Those of one member come last: a number may look like anything."""

from django.urls import include, path

from members.views import conditions, find, households, member

app_name = "members"

urlpatterns = [
    path("", find.find, name="find"),
    path("suggest/", find.suggest, name="suggest"),
    path("pick/", find.pick, name="pick"),
    path("households/", households.household_list, name="households"),
    path("households/new/", households.create, name="household-new"),
    path("households/<int:pk>/", households.household, name="household"),
    path("households/<int:pk>/rename/", households.rename, name="household-rename"),
    path("export.csv", find.export, name="export"),
    path("conditions/", conditions.redraw, name="conditions"),
    path("conditions/count/", conditions.count, name="condition-counts"),
    path("imports/", include("members.importing.urls")),
    path("<path:number>/reveal/", member.reveal, name="reveal"),
    path("<path:number>/consent/", member.consent, name="consent"),
    path("<path:number>/", member.member, name="member"),
]
