"""Who works at the desk."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from staff import people
from staff.models import User
from staff.permissions import Permission, Role, requires
from staff.requests import DeskRequest

# Beside the field of the role.
DECIDED_BY_TWO = gettext_lazy(
    "Every role but Executive may ask for approvals or give them. Somebody new to that takes a second person, where "
    "somebody else may decide or could in the last two weeks."
)


class InvitationForm(forms.ModelForm):  # type: ignore[type-arg]
    """Somebody new."""

    language = forms.ChoiceField(label=gettext_lazy("Language"), choices=settings.LANGUAGES)

    class Meta:
        model = User
        fields = ("name", "email", "role")
        help_texts = {"role": DECIDED_BY_TWO}

    def clean_email(self) -> str:
        """Addresses are kept in lower case, and each belongs to one person."""
        return str(self.cleaned_data["email"]).lower()


@requires(Permission.PEOPLE_EDIT)
@require_safe
def people_list(request: DeskRequest) -> HttpResponse:
    """Everybody, those who may sign in first."""
    found = User.objects.order_by("-is_active", "name", "pk")
    if (role := request.GET.get("role", "")) in Role.values:
        found = found.filter(role=role)
    context = {
        "people": found.prefetch_related("authenticator_set"),
        "roles": [("", _("Any role")), *Role.choices],
        "role_choices": Role.choices,
        "decided_by_two": DECIDED_BY_TWO,
        "shows_links": people.shows_links(request.user),
        "is_filtered": bool(role),
    }
    return render(request, "staff/people.html", context)


@requires(Permission.PEOPLE_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def invite(request: DeskRequest) -> HttpResponse:
    """Add somebody and write them an invitation."""
    form = InvitationForm(request.POST or None, initial={"language": request.user.language})
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        try:
            user = people.invite(
                email=told["email"], name=told["name"], role=told["role"], language=told["language"], by=request.user
            )
        except people.PeopleError as error:
            form.add_error("email", str(error))
        else:
            return _invited(request, user)
    return render(request, "staff/invite.html", {"form": form}, status=422 if form.errors else 200)


@requires(Permission.PEOPLE_EDIT)
@require_POST
@never_cache
def invite_again(request: DeskRequest, pk: int) -> HttpResponse:
    """A new link for somebody who lost theirs."""
    return _invited(request, get_object_or_404(User, pk=pk, is_active=True))


@requires(Permission.PEOPLE_EDIT)
@require_POST
def change_role(request: DeskRequest, pk: int) -> HttpResponse:
    """Give somebody another role."""
    user = get_object_or_404(User, pk=pk)
    role = request.POST.get("role", "")
    if role not in Role.values:
        messages.error(request, _("Choose a role."))
    else:
        try:
            asked = people.change_role(user, role, by=request.user)
            done = _("%(name)s is now %(role)s.") % {"name": user, "role": user.get_role_display()}
            messages.success(request, _("Asked for: a second person decides.") if asked else done)
        except people.PeopleError as error:
            messages.error(request, str(error))
    return redirect("staff:people")


@requires(Permission.PEOPLE_EDIT)
@require_POST
def deactivate(request: DeskRequest, pk: int) -> HttpResponse:
    """Shut somebody out."""
    user = get_object_or_404(User, pk=pk)
    try:
        people.deactivate(user, by=request.user)
        messages.success(request, _("%(name)s can no longer sign in.") % {"name": user})
    except people.PeopleError as error:
        messages.error(request, str(error))
    return redirect("staff:people")


@requires(Permission.PEOPLE_EDIT)
@require_POST
def reactivate(request: DeskRequest, pk: int) -> HttpResponse:
    """Let somebody in again."""
    user = get_object_or_404(User, pk=pk)
    asked = people.reactivate(user, by=request.user)
    done = _("%(name)s can sign in again.") % {"name": user}
    messages.success(request, _("Asked for: a second person decides.") if asked else done)
    return redirect("staff:people")


def _invited(request: DeskRequest, user: User) -> HttpResponse:
    """Send the invitation. Its link is shown to who sets the desk up alone, until the account is somebody's."""
    link = request.build_absolute_uri(people.invitation_path(user))
    context = {
        "person": user,
        "link": "" if user.has_come or not people.shows_links(request.user) else link,
        "waiting": people.waiting(user),
        "is_sent": people.send_invitation(user, link=link, by=request.user),
        "days": settings.PASSWORD_RESET_TIMEOUT // 86_400,
    }
    return render(request, "staff/invited.html", context)
