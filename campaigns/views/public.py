"""What members reach from a message, without signing in: each address is signed."""

import base64

from csp.decorators import csp_replace
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from campaigns import links, mail
from campaigns.content import ContentError, RenderError, compile_content
from campaigns.content import render as render_content
from campaigns.models import Message
from campaigns.preview import CSP
from campaigns.promise import points_and_tier
from staff.permissions import public

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def _message_id(token: str) -> int:
    try:
        return links.message_of(token)
    except links.BadLink as error:
        raise Http404 from error


@public
@never_cache
@require_GET
def click(request: HttpRequest, token: str) -> HttpResponse:
    """Write down the click and go where the link leads."""
    try:
        message_id, address = links.click_of(token)
    except links.BadLink as error:
        raise Http404 from error
    links.record(message_id, "clicked", about=address)
    response = HttpResponseRedirect(address)
    response["Referrer-Policy"] = "no-referrer"
    return response


@public
@never_cache
@require_GET
def pixel(request: HttpRequest, token: str) -> HttpResponse:
    """Write down that the message was opened."""
    links.record(_message_id(token), "opened")
    return HttpResponse(PIXEL, content_type="image/gif")


@public
@csrf_exempt  # mail programs post without having seen the page; the token is the proof
@never_cache
@require_http_methods(["GET", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Ask once, as programs follow links that nobody clicked; withdraw the consent on POST (also RFC 8058)."""
    message_id = _message_id(token)
    message = Message.objects.select_related("member").filter(pk=message_id).first()
    if request.method == "POST":
        links.unsubscribe(message_id)
    language = message.member.language if message and message.member.language else translation.get_language()
    with translation.override(language):
        return render(request, "campaigns/public/unsubscribe.html", {"done": request.method == "POST"})


@public
@never_cache
@require_GET
@csp_replace(CSP)  # type: ignore[arg-type]
def read(request: HttpRequest, token: str) -> HttpResponse:
    """The message as it was sent, in the browser."""
    message = (
        Message.objects.select_related("member", "variant", "run")
        .filter(pk=_message_id(token), state__in=[Message.State.CLAIMED, Message.State.SENT, Message.State.UNKNOWN])
        .first()
    )
    if message is None:
        raise Http404
    points, tier = points_and_tier(message.member)
    values = mail.merge_values(message.member, points=points, tier=tier, message_id=message.pk)
    try:
        rendered = render_content(compile_content(message.variant.subject, message.variant.body), values)
    except (ContentError, RenderError) as error:
        raise Http404 from error
    return HttpResponse(links.tracked_html(rendered.html, message.pk))
