"""What the page of a rule says of one version: its state, who did each step, and what can be done next."""

from dataclasses import dataclass, field
from datetime import datetime

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from loyalty.models import RuleVersion
from loyalty.rules import sentences
from staff import figures
from staff.models import User
from staff.permissions import Permission

State = RuleVersion.State
OPEN = frozenset({State.DRAFT, State.IN_REVIEW, State.APPROVED})
TONES = {
    State.DRAFT: "look",
    State.IN_REVIEW: "look",
    State.APPROVED: "accent",
    State.ACTIVE: "good",
    State.RETIRED: "idle",
}


class ReasonForm(forms.Form):
    """Why something is refused."""

    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=500, widget=forms.Textarea(attrs={"rows": 3}))


class CommentForm(forms.Form):
    """What the second person should know."""

    comment = forms.CharField(
        label=gettext_lazy("What should the second person know?"),
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


@dataclass(frozen=True)
class StateView:
    """A state as a badge."""

    label: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class Act:
    """One button with the question that it asks."""

    key: str
    label: str
    question: str
    what: str
    button: str
    kind: str = ""
    is_danger: bool = False
    form: forms.Form | None = None

    @property
    def url_name(self) -> str:
        """Where it posts."""
        return f"loyalty:rule-{self.key}"


@dataclass(frozen=True)
class Callout:
    """What a version waits for."""

    title: str
    text: str
    tone: str = "accent"


@dataclass(frozen=True, kw_only=True)
class VersionRow:
    """A version on the page of its rule."""

    version: RuleVersion
    state: StateView
    sentences: list[str]
    applies: str
    steps: list[str]
    callout: Callout | None = None
    acts: list[Act] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What is given for what."""
        return self.sentences[0]


def state(version: RuleVersion, now: datetime) -> StateView:
    """Its state; approved ones that start later are scheduled."""
    label = str(State(version.state).label)
    if version.state == State.APPROVED and version.starts_at and version.starts_at > now:
        label = _("scheduled")
    return StateView(label, TONES[State(version.state)])


def row(version: RuleVersion, user: User, now: datetime) -> VersionRow:
    """One version as this person sees it."""
    callout, acts = _next(version, user, now)
    return VersionRow(
        version=version,
        state=state(version, now),
        sentences=sentences.sentences(version.definition),
        applies=_applies(version),
        steps=_steps(version),
        callout=callout,
        acts=acts,
    )


def _applies(version: RuleVersion) -> str:
    """From when until when it applies, in words; empty where it has neither. A retired one ended with that."""
    ends_at = version.retired_at or version.ends_at
    if version.starts_at and ends_at:
        ends = {"from": figures.moment(version.starts_at), "until": figures.moment(ends_at)}
        return _("from %(from)s until %(until)s") % ends
    if version.starts_at:
        return _("from %(from)s") % {"from": figures.moment(version.starts_at)}
    if ends_at:
        return _("until %(until)s") % {"until": figures.moment(ends_at)}
    return ""


def _steps(version: RuleVersion) -> list[str]:
    told = [
        (_("written by %(name)s, %(time)s"), version.created_by, version.created_at),
        (_("submitted by %(name)s, %(time)s"), version.submitted_by, version.submitted_at),
        (_("approved by %(name)s, %(time)s"), version.approved_by, version.approved_at),
        (_("active since %(time)s"), None, version.active_from),
        (_("retired %(time)s"), None, version.retired_at),
    ]
    return [
        pattern % {"name": who.name if who else _("system"), "time": figures.moment(at)}
        for pattern, who, at in told
        if at
    ]


def _next(version: RuleVersion, user: User, now: datetime) -> tuple[Callout | None, list[Act]]:
    """What the version waits for, and what this person may do about it."""
    number = {"version": version.version}
    may_edit = user.may(Permission.PROGRAMME_EDIT)
    match version.state:
        case State.DRAFT:
            waits = _("Nothing earns by it. Try it on a purchase, then submit it for approval.")
            return Callout(_("Version %(version)d is a draft.") % number, waits), [_submit(number)] if may_edit else []
        case State.IN_REVIEW:
            return _in_review(version, user, number)
        case State.APPROVED:
            return _approved(version, now, number, may_edit=may_edit)
        case State.ACTIVE if may_edit:
            return Callout(
                _("Version %(version)d is active.") % number,
                _("It is not edited any more: what changes is a new draft, which takes its place once it is active."),
            ), [_retire(number)]
    return None, []


def _in_review(version: RuleVersion, user: User, number: dict[str, int]) -> tuple[Callout, list[Act]]:
    is_author = user.pk in {version.created_by_id, version.submitted_by_id}
    title = _("Version %(version)d waits for a second person.") % number
    if user.may(Permission.APPROVALS_DECIDE) and not is_author:
        text = _("Read what it says and what changed. Then approve it, or say why not.")
        return Callout(title, text, "look"), [_approve(number), _refuse(number)]
    text = _("Nobody approves what they wrote or submitted themselves.") if is_author else _("An approver decides.")
    acts = [_take_back(number)] if user.pk == version.submitted_by_id and user.may(Permission.PROGRAMME_EDIT) else []
    return Callout(title, text, "look"), acts


def _approved(
    version: RuleVersion, now: datetime, number: dict[str, int], *, may_edit: bool
) -> tuple[Callout, list[Act]]:
    if version.starts_at and version.starts_at > now:
        title = _("Version %(version)d starts by itself.") % number
        callout = Callout(title, _("On %(time)s.") % {"time": figures.when(version.starts_at)})
        return callout, [_take_back(number)] if may_edit else []
    title = _("Version %(version)d is approved.") % number
    text = _("Nothing earns by it before somebody activates it.")
    return Callout(title, text), [_activate(number), _take_back(number)] if may_edit else []


def _submit(number: dict[str, int]) -> Act:
    return Act(
        key="submit",
        label=_("Submit for approval…"),
        question=_("Submit version %(version)d?") % number,
        what=_("It cannot be edited while it waits. You can take it back."),
        button=_("Submit for approval"),
        kind="primary",
        form=CommentForm(auto_id="submit-%s"),
    )


def _approve(number: dict[str, int]) -> Act:
    return Act(
        key="approve",
        label=_("Approve…"),
        question=_("Approve version %(version)d?") % number,
        what=_("It can be activated then, or starts by itself at the time that it names."),
        button=_("Approve"),
        kind="primary",
    )


def _refuse(number: dict[str, int]) -> Act:
    return Act(
        key="refuse",
        label=_("Refuse…"),
        question=_("Refuse version %(version)d?") % number,
        what=_("It becomes a draft again. The reason stays in the audit."),
        button=_("Refuse"),
        form=ReasonForm(auto_id="refuse-%s"),
    )


def _take_back(number: dict[str, int]) -> Act:
    return Act(
        key="take-back",
        label=_("Back to draft…"),
        question=_("Make version %(version)d a draft again?") % number,
        what=_("It can be edited then, and needs approval again."),
        button=_("Back to draft"),
    )


def _activate(number: dict[str, int]) -> Act:
    return Act(
        key="activate",
        label=_("Activate…"),
        question=_("Activate version %(version)d?") % number,
        what=_("From now on points are earned by it. An active version before it is retired; points it gave stay."),
        button=_("Activate"),
        kind="primary",
    )


def _retire(number: dict[str, int]) -> Act:
    return Act(
        key="retire",
        label=_("Retire…"),
        question=_("Retire version %(version)d?") % number,
        what=_("From now on nothing is earned by this rule. Points that it gave stay."),
        button=_("Retire"),
        is_danger=True,
    )
