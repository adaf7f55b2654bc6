"""The pages of comparisons: choose models and ask, see the replies side by side, vote, take results home."""

import csv
import io
from contextlib import suppress

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from playground import comparisons, homes, presets
from playground.comparisons import LEAST, MOST, Question, Standing
from playground.models import Comparison, Reply
from playground.parameters import Parameters
from playground.views import ASKED_CHARACTERS
from training.datasets.formulas import guarded
from training.errors import UserError

LISTED = 50


@require_http_methods(["GET", "POST"])
def compare(request: HttpRequest) -> HttpResponse:
    """Choose models and ask them the first question; see what came of earlier comparisons."""
    refusal = None
    if request.method == "POST":
        try:
            models = [name for name in request.POST.getlist("model") if name]
            made = comparisons.create(request.user, models, Question.parse(request.POST))
            return redirect("playground-comparison", made.pk)
        except UserError as problem:
            refusal = problem
    past = Comparison.objects.filter(owner=request.user)
    context = _form(request) | {
        "refusal": refusal,
        "standings": _standings(request),
        "past": past.prefetch_related("rounds", "contenders")[:LISTED],
    }
    return render(request, "playground/compare.html", context, status=422 if refusal else 200)


def _form(request: HttpRequest) -> dict:
    """Return what the form begins with: what was sent, an earlier comparison's, or what is suggested."""
    sent, choices = request.POST, homes.choices(request.user)
    source = Comparison.objects.filter(owner=request.user, pk=request.GET.get("from", "")).first()
    wanted = request.GET.getlist("model")
    if source:
        wanted = list(source.contenders.values_list("model", flat=True))
    models = sent.getlist("model") or comparisons.suggested(choices, wanted)
    return presets.lists(request.user) | {
        "choices": choices,
        "slots": [*models, *[""] * MOST][:MOST],
        "least": LEAST,
        "text": sent.get("text", request.GET.get("ask", "")[:ASKED_CHARACTERS]),
        "is_blind": bool(sent.get("blind")) if sent else bool(source and source.is_blind),
        "system_prompt": sent.get("system_prompt", source.system_prompt if source else ""),
        "parameters": _parameters(sent, source) or homes.parameters(models[0]),
    }


def _parameters(sent: QueryDict, source: Comparison | None) -> Parameters | None:
    """Return what was sent, if it is sound, or what an earlier comparison was asked with."""
    with suppress(UserError):
        if sent:
            return Parameters.parse(sent.dict())
    return Parameters.parse(source.parameters) if source else None


@require_GET
def comparison(request: HttpRequest, pk: str) -> HttpResponse:
    found = _own(request, pk)
    context = {
        "comparison": found,
        "rounds": comparisons.shown(found),
        "hides": comparisons.hides(found),
        "standings": _standings(request, found),
        "system_prompt": found.system_prompt,
        "parameters": Parameters.parse(found.parameters),
    } | presets.lists(request.user)
    return render(request, "playground/comparison.html", context)


@require_POST
def ask(request: HttpRequest, pk: str) -> HttpResponse:
    """Add a round: with a question of its own, or that of a round which is asked again."""
    found = _own(request, pk)
    again = request.POST.get("again", "")
    before = get_object_or_404(found.rounds, number=_number(again)) if again else None
    try:
        question = Question.parse(request.POST, before.question if before else None)
    except UserError as problem:
        if not request.htmx:
            raise
        return _refused(request, problem)
    if before:
        comparisons.set_aside(before)
    made = comparisons.ask(found, question)
    if not request.htmx:
        return redirect("playground-comparison", found.pk)
    numbers = [made.number, before.number] if before else [made.number]
    rounds = comparisons.shown(found).filter(number__in=numbers).order_by("-number")
    context = {"comparison": found, "rounds": rounds, "hides": comparisons.hides(found)}
    return render(request, "playground/_asked.html", context)


def _refused(request: HttpRequest, problem: UserError) -> HttpResponse:
    """Say what is wrong where the question was typed."""
    response = render(request, "_error.html", {"error": problem}, status=422)
    response["HX-Retarget"], response["HX-Reswap"] = "#compare-problem", "innerHTML"
    return response


@require_GET
def replies(request: HttpRequest, pk: str, number: int) -> HttpResponse:
    """Answer a round as it stands now."""
    found = _own(request, pk)
    asked = get_object_or_404(comparisons.shown(found), number=number)
    return render(request, "playground/_round.html", {"comparison": found, "round": asked})


@require_POST
def vote(request: HttpRequest, pk: str, number: int) -> HttpResponse:
    found = _own(request, pk)
    comparisons.vote(get_object_or_404(found.rounds, number=number), request.POST.get("vote", ""))
    if not request.htmx:
        return redirect("playground-comparison", found.pk)
    context = {
        "comparison": found,
        "round": comparisons.shown(found).get(number=number),
        "hides": comparisons.hides(found),
        "standings": _standings(request, found),
    }
    return render(request, "playground/_voted.html", context)


@require_POST
def delete(request: HttpRequest, pk: str) -> HttpResponse:
    _own(request, pk).delete()
    messages.success(request, _("비교를 삭제했습니다."))
    return redirect("playground-compare")


@require_GET
def export(request: HttpRequest, pk: str = "") -> HttpResponse:
    """Answer the replies and votes of one comparison, or of all, as a table for Excel."""
    found = _own(request, pk) if pk else None
    out = io.StringIO()
    writer = csv.writer(out)
    for row in comparisons.table(_replies(request, found)):
        writer.writerow([guarded(cell) for cell in row])
    name = f"{found or _('나란히 비교')}.csv"
    answer = HttpResponse("\ufeff" + out.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = content_disposition_header(True, name)
    return answer


def _own(request: HttpRequest, pk: str) -> Comparison:
    return get_object_or_404(Comparison, owner=request.user, pk=pk)


def _standings(request: HttpRequest, found: Comparison | None = None) -> list[Standing]:
    return comparisons.standings(_replies(request, found), homes.choices(request.user))


def _replies(request: HttpRequest, found: Comparison | None = None) -> QuerySet[Reply]:
    """Return what models said to the user, in one comparison or in all."""
    mine = Reply.objects.filter(round__comparison__owner=request.user)
    return mine.filter(round__comparison=found) if found else mine


def _number(raw: str) -> int:
    return int(raw) if raw.isdecimal() and len(raw) < 19 else 0
