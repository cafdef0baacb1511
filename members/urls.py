"""The addresses of members. Those of one member come last: a number may look like anything."""

from django.urls import include, path

from members.views import conditions, find, households, member, segments

app_name = "members"

urlpatterns = [
    path("", find.find, name="find"),
    path("suggest/", find.suggest, name="suggest"),
    path("pick/", find.pick, name="pick"),
    path("households/", households.household_list, name="households"),
    path("households/new/", households.create, name="household-new"),
    path("households/<int:pk>/", households.household, name="household"),
    path("households/<int:pk>/rename/", households.rename, name="household-rename"),
    path("segments/", segments.segment_list, name="segments"),
    path("segments/new/", segments.create, name="segment-new"),
    path("segments/<int:pk>/", segments.segment, name="segment"),
    path("segments/<int:pk>/edit/", segments.edit, name="segment-edit"),
    path("segments/<int:pk>/build/", segments.build, name="segment-build"),
    path("segments/<int:pk>/delete/", segments.delete, name="segment-delete"),
    path("segments/<int:pk>/members.csv", segments.export, name="segment-export"),
    path("export.csv", find.export, name="export"),
    path("conditions/", conditions.redraw, name="conditions"),
    path("conditions/count/", conditions.count, name="condition-counts"),
    path("imports/", include("members.importing.urls")),
    path("<path:number>/reveal/", member.reveal, name="reveal"),
    path("<path:number>/consent/", member.consent, name="consent"),
    path("<path:number>/", member.member, name="member"),
]
