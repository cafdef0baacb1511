"""The addresses of the desk's own pages."""

from django.urls import path

from staff.views import api_keys, approvals, audit, jobs, people

app_name = "staff"

urlpatterns = [
    path("jobs/", jobs.job_list, name="jobs"),
    path("jobs/<int:pk>/", jobs.job, name="job"),
    path("jobs/<int:pk>/cancel/", jobs.cancel, name="job_cancel"),
    path("approvals/", approvals.approval_list, name="approvals"),
    path("approvals/approvals.csv", approvals.approvals_csv, name="approvals_csv"),
    path("approvals/<int:pk>/", approvals.approval, name="approval"),
    path("approvals/<int:pk>/approve/", approvals.approve, name="approval_approve"),
    path("approvals/<int:pk>/refuse/", approvals.refuse, name="approval_refuse"),
    path("approvals/<int:pk>/withdraw/", approvals.withdraw, name="approval_withdraw"),
    path("audit/", audit.entries, name="audit"),
    path("audit/entries.csv", audit.entries_csv, name="audit_csv"),
    path("audit/changes/", audit.configuration, name="changes"),
    path("people/", people.people_list, name="people"),
    path("people/invite/", people.invite, name="invite"),
    path("people/<int:pk>/invite/", people.invite_again, name="invite_again"),
    path("people/<int:pk>/role/", people.change_role, name="change_role"),
    path("people/<int:pk>/deactivate/", people.deactivate, name="deactivate"),
    path("people/<int:pk>/reactivate/", people.reactivate, name="reactivate"),
    path("api-keys/", api_keys.key_list, name="api_keys"),
    path("api-keys/new/", api_keys.create, name="api_key_new"),
    path("api-keys/<int:pk>/revoke/", api_keys.revoke, name="api_key_revoke"),
]
