"""The programme's settings: limits, the value of a point, what happens to points that are spent, reasons for points.

They protect what members own and what the company owes, so a second person decides every change of them
(docs/adr/0013). Where nobody else at the desk could decide, a change counts at once: a programme that is being set
up would otherwise be locked out of its own settings. The page says so, and the audit keeps it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.db import models, transaction
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty.models import AdjustReason, ProgrammeSettings
from staff import approvals, audit, changes
from staff.models import Approval, User
from staff.permissions import Permission

KIND: Final = "programme.settings"
ABOUT: Final = "programme:settings"
Changeable = ProgrammeSettings | AdjustReason
# key, English name, Chinese name, whether what is given for it counts for tiers
REASONS: Final = (
    ("goodwill", "Goodwill", "善意补偿", False),
    ("missing-points", "Missing points", "积分漏记", True),
    ("complaint", "Complaint", "投诉补偿", False),
    ("correction", "Correction", "更正", True),
    ("fraud", "Fraud", "欺诈", False),
    ("other", "Other", "其他", False),
)


def settings_now() -> ProgrammeSettings:
    """The programme's settings, as they stand."""
    return ProgrammeSettings.objects.get(pk=1)


def ensure(*, apps: Apps = global_apps, **_signal: object) -> None:
    """Make the row of settings, and the usual reasons where there are none. Runs after every migration, also backwards.

    ``apps`` has the models as they stand then: without those fields, or at all, that later migrations bring.
    """
    if "adjustreason" not in apps.all_models["loyalty"]:
        return
    apps.get_model("loyalty", "ProgrammeSettings").objects.get_or_create(pk=1)
    reasons = apps.get_model("loyalty", "AdjustReason")
    if not reasons.objects.exists():
        reasons.objects.bulk_create(
            [
                reasons(key=key, name=name, name_zh=name_zh, qualifies=qualifies)
                for key, name, name_zh, qualifies in REASONS
            ],
            ignore_conflicts=True,
        )


def change(wanted: Mapping[str, Any], *, user: User) -> Approval | Changeable:
    """Ask a second person for other settings (field → value); returns the request.

    Where nobody else could decide, or nothing would change, it returns the settings as they stand then. The same
    change asked for again while it waits is the same request.
    """
    return _change(settings_now(), wanted, {}, user)


def change_reason(reason: AdjustReason, wanted: Mapping[str, Any], *, user: User) -> Approval | Changeable:
    """The same of a reason for points by hand, also to put it out of use: what was given for it keeps it."""
    reason = AdjustReason.objects.get(pk=reason.pk)
    return _change(reason, wanted, {"reason": reason.pk, "name": reason.name}, user)


def register() -> None:
    """Let changes of settings be approved."""
    approvals.register(
        KIND,
        gettext_lazy("Programme settings"),
        Permission.APPROVALS_DECIDE,
        _carry_out,
        outlook=_outlook,
        title=_title,
    )


@transaction.atomic
def _change(row: Changeable, wanted: Mapping[str, Any], which: Mapping[str, Any], user: User) -> Approval | Changeable:
    stands = _locked(row)
    after = {name: value for name, value in wanted.items() if getattr(stands, name) != value}
    if not after:
        return stands
    if not approvals.others_may_decide(KIND, user):
        _write(stands, after, user=user, asked_by="")
        return _locked(stands)
    payload = {"before": _told(stands, after), "after": {name: _plain(value) for name, value in after.items()}, **which}
    for waiting in approvals.waiting_about(ABOUT, kind=KIND):
        if waiting.payload == payload:
            return waiting
    return approvals.request(
        KIND,
        subject=f"{stands}: {', '.join(_in_order(stands, after))}",
        payload=payload,
        user=user,
        about=ABOUT,
    )


def _locked(row: Changeable) -> Changeable:
    return type(row)._default_manager.select_for_update().get(pk=row.pk)


def _write(stands: Changeable, after: Mapping[str, Any], *, user: User | None, asked_by: str) -> None:
    detail = {
        "fields": list(after),
        "before": _told(stands, after),
        "after": {name: _plain(value) for name, value in after.items()},
        # Empty: nobody else could have decided.
        "asked_by": asked_by,
    }
    type(stands)._default_manager.filter(pk=stands.pk).update(**after)
    audit.record(user, "settings.change", stands, detail=detail)


def _row(approval: Approval) -> Changeable:
    """The settings, or the reason that it names."""
    reason = approval.payload.get("reason")
    return AdjustReason.objects.get(pk=reason) if reason else settings_now()


def _carry_out(approval: Approval) -> None:
    stands = _locked(_row(approval))
    if moved := _moved(approval, stands):
        text = _("Changed since it was asked for: %(names)s. It has to be asked for again.")
        raise approvals.CannotBeDone(text % {"names": _names(stands, moved)})
    after = {name: _value(stands, name, told) for name, told in approval.payload["after"].items()}
    _write(stands, after, user=approval.decided_by, asked_by=approval.requested_label)


def _outlook(approval: Approval) -> approvals.Outlook:
    before, after, row = approval.payload["before"], approval.payload["after"], _row(approval)
    moved = _moved(approval, row)
    warning = _("Changed since it was asked for: %(names)s. Approving it will be refused.")
    return approvals.Outlook(
        [
            (_name(row, name), f"{_readable(row, name, before[name])} → {_readable(row, name, after[name])}")
            for name in _in_order(row, after)
        ],
        warning % {"names": _names(row, moved)} if moved else "",
    )


def _title(approval: Approval) -> str:
    after = approval.payload["after"]
    if reason := approval.payload.get("name"):
        return _("Reason “%(reason)s”: %(names)s") % {"reason": reason, "names": _names(AdjustReason, after)}
    return _("Programme settings: %(names)s") % {"names": _names(ProgrammeSettings, after)}


def _moved(approval: Approval, stands: Changeable) -> list[str]:
    """Which of the fields are no longer what they were when it was asked for."""
    before = approval.payload["before"]
    return [name for name, told in before.items() if getattr(stands, name) != _value(stands, name, told)]


def _told(stands: Changeable, names: Iterable[str]) -> dict[str, Any]:
    return {name: _plain(getattr(stands, name)) for name in names}


def _plain(value: Any) -> Any:
    """As a payload keeps it: money as text, so that nothing is rounded."""
    return value if value is None or isinstance(value, int) else str(value)


def _field(row: Changeable | type[Changeable], name: str) -> "models.Field[Any, Any]":
    return next(field for field in row._meta.concrete_fields if field.name == name)


def _value(row: Changeable, name: str, told: Any) -> Any:
    field = _field(row, name)
    value = field.to_python(told)
    if isinstance(field, models.DecimalField) and value is not None:
        return round(value, field.decimal_places)
    return value


def _readable(row: Changeable, name: str, told: Any) -> str:
    return changes.readable(_field(row, name), _value(row, name, told))


def _name(row: Changeable | type[Changeable], name: str) -> str:
    return str(capfirst(_(str(_field(row, name).verbose_name))))


def _in_order(row: Changeable | type[Changeable], fields: Iterable[str]) -> list[str]:
    """As the row has them; a payload keeps no order."""
    wanted = set(fields)
    return [field.name for field in row._meta.concrete_fields if field.name in wanted]


def _names(row: Changeable | type[Changeable], fields: Iterable[str]) -> str:
    return " · ".join(_name(row, name) for name in _in_order(row, fields))
