"""What a tree in the builder is about: members, or what a room registers besides (purchases, their lines)."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from members.conditions.facts import MEMBERS, Vocabulary

Text = str | Promise


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The facts that can be asked for, the one to start from, and the words around the conditions.

    ``subject`` stands before "all of this is true"; ``everything`` says what no condition means.
    """

    name: str
    vocabulary: Vocabulary
    first_fact: str
    subject: Text
    everything: Text
    is_counted: bool = False


MEMBERS_SCOPE = Scope(
    name="members",
    vocabulary=MEMBERS,
    first_fact="member.last_purchase",
    subject=pgettext_lazy("before all, any or none", "Members for whom"),
    everything=_("No condition yet: this means every member."),
    is_counted=True,
)
_scopes = {MEMBERS_SCOPE.name: MEMBERS_SCOPE}


def register(scope: Scope) -> None:
    """Make a scope known under its name."""
    _scopes[scope.name] = scope


def find(name: str) -> Scope:
    """The scope of this name; members where there is none."""
    return _scopes.get(name, MEMBERS_SCOPE)
