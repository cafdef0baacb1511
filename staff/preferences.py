"""How each person wants the desk to look: language and theme.

Both are kept on the user, so that they follow the person, and in a cookie, so that the sign-in page
has them too and a page never flashes in the wrong colours: the server writes the theme into the page.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from staff.models import User
from staff.permissions import public

THEME_COOKIE = "steadfast_theme"
YEAR_SECONDS = 365 * 24 * 3600


def theme_of(request: HttpRequest) -> str:
    """``system``, ``light`` or ``dark``, as the person or this browser chose it."""
    user = getattr(request, "user", None)
    if isinstance(user, User):
        return user.theme
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in User.Theme.values else User.Theme.SYSTEM


class LanguageMiddleware:
    """Speaks the signed-in person's language, whatever the browser asks for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Switch to the language on the user; LocaleMiddleware has chosen one for everybody else."""
        user = request.user
        if isinstance(user, User) and user.language in dict(settings.LANGUAGES):
            translation.activate(user.language)
            request.LANGUAGE_CODE = translation.get_language()
        return self.get_response(request)


@public
@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Store the theme on the person and in this browser."""
    theme = request.POST.get("theme", "")
    if theme not in User.Theme.values:
        return HttpResponseBadRequest()
    _store(request, theme=theme)
    return _remember(_back(request), THEME_COOKIE, theme)


@public
@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Store the language on the person and in this browser."""
    language = request.POST.get("language", "")
    if language not in dict(settings.LANGUAGES):
        return HttpResponseBadRequest()
    _store(request, language=language)
    return _remember(_back(request), settings.LANGUAGE_COOKIE_NAME, language)


def _store(request: HttpRequest, **preference: str) -> None:
    if isinstance(request.user, User):
        User.objects.filter(pk=request.user.pk).update(**preference)


def _back(request: HttpRequest) -> HttpResponse:
    """To the page the person was on; nothing for a script, which has already changed the page."""
    if request.headers.get("X-Requested-With") == "fetch":
        return HttpResponse(status=204)
    target = request.POST.get("next") or "/"
    safe = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(target if safe else "/")


def _remember(response: HttpResponse, cookie: str, value: str) -> HttpResponse:
    response.set_cookie(
        cookie, value, max_age=YEAR_SECONDS, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE, httponly=True
    )
    return response
