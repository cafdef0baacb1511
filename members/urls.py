"""The addresses of members. Those of one member come last: a number may look like anything."""

from django.urls import include, path

from members.views import conditions, find, member

app_name = "members"

urlpatterns = [
    path("", find.find, name="find"),
    path("suggest/", find.suggest, name="suggest"),
    path("export.csv", find.export, name="export"),
    path("conditions/", conditions.redraw, name="conditions"),
    path("conditions/count/", conditions.count, name="condition-counts"),
    path("imports/", include("members.importing.urls")),
    path("<path:number>/reveal/", member.reveal, name="reveal"),
    path("<path:number>/consent/", member.consent, name="consent"),
    path("<path:number>/", member.member, name="member"),
]
