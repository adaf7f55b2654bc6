"""The pages of 한꺼번에 물어보기: ask, watch, compare, mend, take home."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from playground import batch_export, batches, homes
from playground.batch_forms import BatchForm
from playground.mending import mend_page
from playground.models import Batch, BatchQuestion
from training.chat import Message
from training.datasets import questions
from training.errors import UserError
from training.models import Dataset, TunedModel

PAGE = 20
LISTED = 100
require_form = require_http_methods(["GET", "HEAD", "POST"])


@require_form
def batches_page(request: HttpRequest) -> HttpResponse:
    """The form, and the batches so far."""
    tuned = list(TunedModel.objects.filter(owner=request.user).select_related("job__version"))
    held = [(row, count) for row in tuned if (count := batches.held_back_count(row))]
    form, problem = BatchForm.of(request, [row for row, _count in held]), None
    if request.method == "POST":
        try:
            return redirect("batch", form.make(request).pk)
        except UserError as error:
            problem = error
    context = {
        "form": form, "problem": problem, "choices": homes.choices(request.user), "held": held,
        "datasets": _datasets(request), "most": questions.MOST, "limit": questions.LIMIT_BYTES,
        "batches": Batch.objects.filter(owner=request.user)[:LISTED],
    }  # fmt: skip
    return render(request, "playground/batches.html", context, status=422 if problem else 200)


def _datasets(request: HttpRequest):
    found = Dataset.objects.filter(owner=request.user, versions__status="ready").distinct()
    return found.order_by("-created_at")[:LISTED]


@require_GET
def batch(request: HttpRequest, batch_id: str) -> HttpResponse:
    """One batch; for its own polling only the table of answers."""
    found = _own(request, batch_id)
    family = batches.family(found)
    beside = next((one for one in family if one.pk == request.GET.get("beside")), None)
    if beside == found:
        beside = None
    only = request.GET.get("only") == "different"
    rows = batches.different(found.questions.all()) if only else found.questions.all()
    page = Paginator(rows.order_by("position"), PAGE).get_page(request.GET.get("page"))
    context = {
        "batch": found, "family": family, "beside": beside, "only": only, "page": page,
        "rows": _with_other_answers(list(page.object_list), beside),
        "kept": _kept(only, beside), "place": _place(found),
        "has_expected": found.questions.exclude(expected="").exists(),
    }  # fmt: skip
    if request.htmx:
        return render(request, "playground/_answers.html", context)
    choices = homes.choices(request.user)
    context |= {
        "choices": choices,
        "other": next((one.name for one in [*choices.tuned, *choices.bases]
                       if one.name != found.model), ""),
        "can_read_again": batches.can_read_again(found),
        "columns": found.layout.get("columns", []),
        "mapping": found.layout.get("mapping", {}),
    }  # fmt: skip
    return render(request, "playground/batch.html", context)


def _with_other_answers(rows: list[BatchQuestion], beside: Batch | None) -> list[BatchQuestion]:
    """Give each row what another batch says to the same question."""
    if beside:
        places = [row.position for row in rows]
        others = {one.position: one for one in beside.questions.filter(position__in=places)}
        for row in rows:
            row.other = others.get(row.position)
    return rows


def _kept(only: bool, beside: Batch | None) -> dict[str, str]:
    """Return what of an address stays while pages are turned."""
    return ({"only": "different"} if only else {}) | ({"beside": beside.pk} if beside else {})


def _place(found: Batch) -> int:
    return batches.place_in_line(found) if found.status == Batch.Status.WAITING else 0


@require_GET
def now(request: HttpRequest, batch_id: str) -> HttpResponse:
    """How far a batch has come; when its status moved or its questions were read, the page loads anew."""
    found = _own(request, batch_id)
    is_read_since = "unread" in request.GET and found.total
    if request.GET.get("was") != found.status or is_read_since:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return render(request, "playground/_batch_now.html", {"batch": found, "place": _place(found)})


@require_POST
def cancel(request: HttpRequest, batch_id: str) -> HttpResponse:
    found = _own(request, batch_id)
    if not batches.cancel(found):
        messages.info(request, _("이미 끝나서 멈추지 않았습니다."))
    return redirect("batch", found.pk)


@require_POST
def go_on(request: HttpRequest, batch_id: str) -> HttpResponse:
    found = _own(request, batch_id)
    batches.go_on(found)
    return redirect("batch", found.pk)


@require_POST
def again(request: HttpRequest, batch_id: str) -> HttpResponse:
    """다른 모델로 다시."""
    fresh = batches.again(_own(request, batch_id), request.POST.get("model", ""))
    return redirect("batch", fresh.pk)


@require_POST
def columns(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Read the file again, from the columns of the form."""
    found = _own(request, batch_id)
    chosen = {part: request.POST.get(part, "") for part in ("prompt", "answer", "system")}
    if chosen["system"] in (chosen["prompt"], chosen["answer"]):
        del chosen["system"]
    batches.read_again(found, chosen)
    return redirect("batch", found.pk)


@require_form
def delete(request: HttpRequest, batch_id: str) -> HttpResponse:
    found = _own(request, batch_id)
    if request.method != "POST":
        return render(request, "playground/batch_delete.html", {"batch": found})
    batches.delete(found)
    messages.success(request, _("질문과 답변을 삭제했습니다."))
    return redirect("batches")


@require_form
def mend(request: HttpRequest, batch_id: str) -> HttpResponse:
    """Mend an answer and make an example of it, in one of the user's datasets."""
    found = _own(request, batch_id)
    raw = request.POST.get("message") or request.GET.get("message", "")
    row = get_object_or_404(found.questions, position=int(raw) if _is_number(raw) else 0)
    if not row.answered_at:
        raise Http404
    asked = [Message(one["role"], one["content"]) for one in row.messages]
    return mend_page(
        request, asked, row.expected or row.answer, key=row.position, said=row.answer,
        onward=("batch", found.pk), title=str(found),
    )  # fmt: skip


def _is_number(raw: str) -> bool:
    return raw.isascii() and raw.isdecimal() and len(raw) < 9


@require_GET
def download(request: HttpRequest, batch_id: str, table: str) -> HttpResponse:
    found = _own(request, batch_id)
    if table not in batch_export.FORMATS:
        raise Http404
    make, media_type = batch_export.FORMATS[table]
    answer = HttpResponse(b"".join(make(found)), content_type=media_type)  # at most 500 rows
    name = f"{batch_export.stem(found)}.{table}"
    answer["Content-Disposition"] = content_disposition_header(True, name)
    return answer


def _own(request: HttpRequest, batch_id: str) -> Batch:
    return get_object_or_404(Batch, owner=request.user, pk=batch_id)
