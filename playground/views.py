"""The pages of the playground: conversation, model list, load and unload."""

import json

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import content_disposition_header, url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from playground import client, conversations, homes, presets
from playground import code as written
from playground.mending import mend_page
from playground.models import Conversation, Preset
from playground.parameters import Parameters
from training import wording
from training.chat import Example
from training.errors import UserError

LISTED = 100
SOUGHT_CHARACTERS = 100
ASKED_CHARACTERS = 4000
"""Longest question that a link to the playground may bring along."""


@require_GET
def playground(request: HttpRequest) -> HttpResponse:
    """Open the newest conversation, or an empty page for a new one."""
    model = request.GET.get("model", "")
    sought = request.GET.get("q", "").strip()[:SOUGHT_CHARACTERS]
    newest = _begun(request).first()
    if newest and not model and not sought and "new" not in request.GET:
        return redirect("conversation", newest.pk)
    return _page(request, None, model, sought)


@require_GET
def conversation(request: HttpRequest, conversation_id: str) -> HttpResponse:
    found = _own(request, conversation_id)
    return _page(request, found, found.model)


def _page(
    request: HttpRequest, found: Conversation | None, model: str, sought: str = ""
) -> HttpResponse:
    choices = homes.choices(request.user)
    chosen = model if choices.label(model) else choices.first
    context = {
        "conversation": found,
        "turns": conversations.turns(found) if found else [],
        "conversations": conversations.search(_begun(request), sought)[:LISTED],
        "sought": sought,
        "choices": choices,
        "missing_model": bool(model) and model != chosen,
        "parameters": Parameters.parse(found.parameters) if found else homes.parameters(chosen),
        "work": None if found else homes.work(chosen),
        "is_practice": homes.is_practice(chosen),
        "model_name": choices.label(chosen),
        "system_prompt": found.system_prompt if found else "",
        "ask": request.GET.get("ask", "")[:ASKED_CHARACTERS],
    }
    context |= _state(chosen) | presets.lists(request.user)
    return render(request, "playground/page.html", context)


@require_POST
def keep_preset(request: HttpRequest) -> HttpResponse:
    """Keep the settings of the form under a name; answer the list anew."""
    values = request.POST
    try:
        kept = presets.keep(
            request.user, values.get("name", ""), values.get("system_prompt", ""),
            Parameters.parse(values.dict()),
        )  # fmt: skip
    except UserError as problem:
        return _preset_list(request, problem=problem, status=422)
    return _preset_list(request, chosen=str(kept.pk))


@require_POST
def delete_preset(request: HttpRequest) -> HttpResponse:
    get_object_or_404(Preset, owner=request.user, pk=_number(request, "preset")).delete()
    return _preset_list(request)


def _preset_list(request: HttpRequest, status: int = 200, **news: object) -> HttpResponse:
    found = presets.lists(request.user) | news
    return render(request, "playground/_presets.html", found, status=status)


@require_POST
def new(request: HttpRequest) -> HttpResponse:
    """Begin a conversation; the chat page asks for JSON, a plain form goes to its page."""
    model = request.POST.get("model", "")
    try:
        homes.choices(request.user).allow(model)
        begun = conversations.create(request.user, model)
    except UserError as problem:
        if request.accepts("text/html"):
            return _say_and_return(request, problem)
        return JsonResponse({"error": _text(problem)}, status=422)
    if request.accepts("text/html"):
        return redirect("conversation", begun.pk)
    url = reverse("conversation", args=[begun.pk])
    return JsonResponse({"id": begun.pk, "url": url}, status=201)


@require_POST
def delete(request: HttpRequest, conversation_id: str) -> HttpResponse:
    conversations.delete(_own(request, conversation_id))
    messages.success(request, _("대화를 삭제했습니다."))
    return redirect("playground")


@require_POST
def rename(request: HttpRequest, conversation_id: str) -> HttpResponse:
    found = _own(request, conversation_id)
    try:
        conversations.rename(found, request.POST.get("title", ""))
    except UserError as problem:
        messages.error(request, _text(problem))
    return redirect("conversation", found.pk)


@require_POST
def go(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Show the branch of a message."""
    found = _own(request, conversation_id)
    return _deed(lambda: conversations.go_to(found, _number(request, "message")))


@require_POST
def rate(request: HttpRequest, conversation_id: str) -> HttpResponse:
    found = _own(request, conversation_id)
    return _deed(
        lambda: conversations.rate(found, _number(request, "message"), _number(request, "rating"))
    )


def _deed(verb) -> HttpResponse:
    try:
        verb()
    except UserError as problem:
        return JsonResponse({"error": _text(problem)}, status=422)
    return HttpResponse(status=204)


def _number(request: HttpRequest, key: str) -> int:
    """Return a whole number of form or address; 0, which is no message, for anything else."""
    raw = request.POST.get(key) or request.GET.get(key, "")
    return int(raw) if raw.removeprefix("-").isdecimal() and len(raw) < 19 else 0


@require_http_methods(["GET", "POST"])
def mend(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Mend an answer and make an example of it, in one of the user's datasets."""
    found = _own(request, conversation_id)
    key = _number(request, "message")
    answer = get_object_or_404(found.messages, pk=key, role="assistant")
    asked = conversations.history(found, answer.parent_id)
    return mend_page(
        request, asked, answer.content, key=key, onward=("conversation", found.pk),
        title=str(found), conversation=found.pk,
    )  # fmt: skip


@require_GET
def export(request: HttpRequest, conversation_id: str, form: str) -> HttpResponse:
    """Answer the branch that is shown as a file: to read, or as a line of training data."""
    found = _own(request, conversation_id)
    if form == "markdown":
        text = render_to_string("playground/export.md", {
            "conversation": found, "turns": conversations.turns(found),
        })  # fmt: skip
        kind, ending = "text/markdown", "md"
    elif form == "jsonl":
        example = Example(tuple(conversations.history(found)))
        text = json.dumps(example.as_dict(), ensure_ascii=False) + "\n"
        kind, ending = "application/jsonl", "jsonl"
    else:
        raise Http404
    answer = HttpResponse(text, content_type=f"{kind}; charset=utf-8")
    answer["Content-Disposition"] = content_disposition_header(True, f"{found}.{ending}")
    return answer


@require_POST
def code(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Answer the fragment with the program that asks what the page asked, with the panel's values."""
    found = _own(request, conversation_id)
    write = written.LANGUAGES.get(request.POST.get("language", ""), written.curl)
    found.system_prompt = request.POST.get("system_prompt", "")  # for this answer; not kept
    context = {}
    try:
        call = written.Call(
            address=request.build_absolute_uri("/v1"),
            model=_public_name(request, request.POST.get("model", "")),
            messages=conversations.asked(found),
            parameters=Parameters.parse(request.POST.dict()),
            is_streamed=request.POST.get("streamed") == "1",
        )
        context = {"code": write(call), "is_python": write is written.python}
    except UserError as error:
        context = {"problem": error}
    return render(
        request, "playground/_code.html", context, status=422 if "problem" in context else 200
    )


def _public_name(request: HttpRequest, model: str) -> str:
    homes.choices(request.user).allow(model)
    return homes.public_name(model)


@require_POST
def load(request: HttpRequest) -> HttpResponse:
    return _move(request, client.load)


@require_POST
def unload(request: HttpRequest) -> HttpResponse:
    return _move(request, client.unload)


def _move(request: HttpRequest, verb) -> HttpResponse:
    """Load or unload the model of the form, then show how it stands."""
    model = request.POST.get("model", "")
    _allow_or_404(request, model)
    problem = None
    try:
        verb(model)
    except UserError as error:
        problem = error
    if request.htmx:
        return render(request, "playground/_load_state.html", _state(model, problem))
    return _say_and_return(request, problem)


@require_GET
def state(request: HttpRequest) -> HttpResponse:
    """Answer the fragment that shows whether a model is in memory; nothing new while the engine is
    still away."""
    model = request.GET.get("model", "")
    _allow_or_404(request, model)
    found = _state(model)
    if "away" in request.GET and is_away(found["problem"]):
        return HttpResponse(status=204)
    return render(request, "playground/_load_state.html", found)


def _state(model: str, problem: UserError | None = None) -> dict:
    """Return what _load_state.html needs: the state, or why it can't be had."""
    found = client.ModelState(model)
    if problem is None and model:
        try:
            found = client.state(model)
        except UserError as error:
            problem = error
    problem = problem or found.error
    return {"model": model, "load_state": found, "problem": problem, "is_away": is_away(problem)}


def is_away(problem: UserError | None) -> bool:
    return problem is not None and problem.code in client.AWAY


def _allow_or_404(request: HttpRequest, model: str) -> None:
    try:
        homes.choices(request.user).allow(model)
    except UserError as problem:
        raise Http404 from problem


def _begun(request: HttpRequest) -> QuerySet[Conversation]:
    """Return the user's conversations in which something was said."""
    return Conversation.objects.filter(owner=request.user).exclude(title="")


def _own(request: HttpRequest, conversation_id: str) -> Conversation:
    return get_object_or_404(Conversation, owner=request.user, pk=conversation_id)


def _say_and_return(request: HttpRequest, problem: UserError | None) -> HttpResponse:
    """Go on to where the form asked for, if that is a page of ours."""
    if problem:
        messages.error(request, _text(problem))
    goal = request.POST.get("next", "")
    allowed = url_has_allowed_host_and_scheme(goal, {request.get_host()}, request.is_secure())
    return redirect(goal if allowed and goal.startswith("/") else "playground")


def _text(problem: UserError) -> str:
    sentence = wording.say(problem.code, problem.params)
    return f"{sentence.what} {sentence.cure}"
