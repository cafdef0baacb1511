"""The addresses of imports, under ``/members/imports/``."""

from django.urls import path

from members.views import imports

urlpatterns = [
    path("", imports.import_list, name="imports"),
    path("new/", imports.import_new, name="import_new"),
    path("<int:pk>/", imports.import_run, name="import"),
    path("<int:pk>/columns/", imports.import_columns, name="import_columns"),
    path("<int:pk>/read-again/", imports.import_read_again, name="import_read_again"),
    path("<int:pk>/start/", imports.import_start, name="import_start"),
    path("<int:pk>/errors.csv", imports.import_errors, name="import_errors"),
    path("<int:pk>/undo/", imports.import_undo, name="import_undo"),
    path("<int:pk>/remove/", imports.import_remove, name="import_remove"),
]
