"""The addresses of allauth that the desk uses, each with what it needs; sign-up and the like are not routed."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from django.urls import path, re_path

from staff.permissions import Permission, public, requires

desk_use = requires(Permission.DESK_USE)

urlpatterns = [
    path("login/", public(account.login), name="account_login"),
    path("logout/", public(account.logout), name="account_logout"),
    path("inactive/", public(account.account_inactive), name="account_inactive"),
    path("reauthenticate/", desk_use(account.reauthenticate), name="account_reauthenticate"),
    path("password/change/", desk_use(account.password_change), name="account_change_password"),
    path("password/set/", desk_use(account.password_set), name="account_set_password"),
    path("password/reset/", public(account.password_reset), name="account_reset_password"),
    path("password/reset/done/", public(account.password_reset_done), name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        public(account.password_reset_from_key),
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        public(account.password_reset_from_key_done),
        name="account_reset_password_from_key_done",
    ),
    path("2fa/", desk_use(mfa.index), name="mfa_index"),
    path("2fa/authenticate/", public(mfa.authenticate), name="mfa_authenticate"),
    path("2fa/reauthenticate/", desk_use(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("2fa/totp/activate/", desk_use(totp.activate_totp), name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", desk_use(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("2fa/recovery-codes/", desk_use(recovery_codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path(
        "2fa/recovery-codes/generate/",
        desk_use(recovery_codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "2fa/recovery-codes/download/",
        desk_use(recovery_codes.download_recovery_codes),
        name="mfa_download_recovery_codes",
    ),
]
