"""Doors of one dataset's rows, versions and parts: mend, add, remove, split, merge, take home."""

import json
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from studio.data_forms import DatasetNameForm, LayoutForm, MergeForm, SplitForm
from studio.templatetags.studio import sentence, thousands
from studio.views.datasets import PAGE, bad_rows, own, require_form
from studio.views.frame import safe_next
from studio.views.sending import attached, in_threads
from training.chat import Example
from training.datasets import editing, export, store, versions
from training.datasets.choices import Choices
from training.errors import UserError
from training.models import Dataset, DatasetVersion

LONGEST_TALK = 400
"""Most exchanges that a form can send."""


def found(request: HttpRequest, pk: str) -> Dataset:
    return get_object_or_404(own(request), pk=pk)


def back(dataset: Dataset, query: str = "") -> HttpResponse:
    return redirect(reverse("dataset", args=[dataset.pk]) + query)


# --- rows -------------------------------------------------------------------------------------
@require_form
def row(request: HttpRequest, pk: str, position: int) -> HttpResponse:
    """Mend one example on a page of its own."""
    dataset = found(request, pk)
    number, example = row_of(dataset, position)
    if request.method == "POST":
        return kept(request, dataset, position, number, editing.mark(example))
    if len(example.messages) > 2 * LONGEST_TALK:
        raise UserError("talk_too_long", limit=LONGEST_TALK)
    said = turns_of(example)
    return edit_page(request, dataset, said, number=number + 1, was=editing.mark(example))


def row_of(dataset: Dataset, position: int) -> tuple[int, Example]:
    """Return the number (from 0) and the example of a live row of the newest version.

    Raises: Http404; UserError `data_being_read`, `data_not_readable`.
    """
    view = store.view(readable(dataset))
    if not view.is_live(position):
        raise Http404
    number = view.number(position)
    return number, view.rows(number, 1)[0].example


def readable(dataset: Dataset) -> Path:
    """Return the folder of the newest version.

    Raises: UserError `data_being_read`, `data_not_readable`.
    """
    version = editing.newest(dataset)
    if version.status == DatasetVersion.Status.READY:
        return versions.folder(version)
    raise UserError("data_being_read" if version.is_busy else "data_not_readable")


@require_form
def new_row(request: HttpRequest, pk: str) -> HttpResponse:
    dataset = found(request, pk)
    if request.method != "POST":
        return edit_page(request, dataset, {"system": "", "exchanges": [unused(request, dataset)]})
    return kept(request, dataset)


def unused(request: HttpRequest, dataset: Dataset) -> tuple[str, str]:
    """Return question and answer of the row that could not be used and shall be mended, as far as
    they can be told apart; empty ones when none is named."""
    asked = request.GET.get("problem", "")
    if not (asked.isdecimal() and len(asked) < 10):
        return "", ""
    text = "".join(row["row"] for row in bad_rows(editing.newest(dataset), int(asked), 1))
    try:
        record = json.loads(text)
        turns = record.get("messages") or record.values()
        found = [one.get("content", "") if isinstance(one, dict) else one for one in turns]
    except (ValueError, AttributeError, TypeError):
        return text, ""
    question, answer, *_more = [*map(str, found), "", ""]
    return question, answer


def kept(
    request: HttpRequest,
    dataset: Dataset,
    position: int | None = None,
    number: int = 0,
    mark: str = "",
) -> HttpResponse:
    """Keep what the form says, or show it again with the reason why not."""
    said = said_in(request)
    try:
        turns = [("system", said["system"])]
        for question, answer in said["exchanges"]:
            turns += [("user", question), ("assistant", answer)]
        example = editing.example_of(turns)
        if position is None:
            number = editing.add(dataset, [example]).example_count - 1
        else:
            editing.replace(dataset, position, example, request.POST.get("was", ""))
    except UserError as error:
        shown = number + 1 if position is not None else 0
        return edit_page(request, dataset, said, 422, error=error, number=shown, was=mark)
    return back(dataset, f"?page={number // PAGE + 1}&saved={number + 1}#row-{number + 1}")


def said_in(request: HttpRequest) -> dict[str, Any]:
    """Return system prompt and exchanges of the form, without those that are empty."""
    pairs = zip_longest(*map(request.POST.getlist, ("user", "assistant")), fillvalue="")
    exchanges = [pair for pair in pairs if any(text.strip() for text in pair)]
    return {"system": request.POST.get("system", ""), "exchanges": exchanges or [("", "")]}


def turns_of(example: Example) -> dict[str, Any]:
    said = list(example.messages)
    system = said.pop(0).content if said[0].role == "system" else ""
    pairs = [(said[i].content, said[i + 1].content) for i in range(0, len(said), 2)]
    return {"system": system, "exchanges": pairs}


def edit_page(
    request: HttpRequest, dataset: Dataset, said: dict, status: int = 200, **extra: Any
) -> HttpResponse:
    context = {"dataset": dataset, "said": said} | extra
    return render(request, "datasets/row.html", context, status=status)


@require_POST
def remove_row(request: HttpRequest, pk: str, position: int) -> HttpResponse:
    """Remove one example; the page then offers to bring it back."""
    dataset = found(request, pk)
    editing.remove(dataset, [position], request.POST.get("was", ""))
    page = request.POST.get("page", "1")
    return back(dataset, f"?page={page if page.isdigit() else 1}&removed={position}")


@require_POST
def restore_row(request: HttpRequest, pk: str, position: int) -> HttpResponse:
    dataset = found(request, pk)
    version = editing.restore(dataset, position)
    number = store.view(versions.folder(version)).number(position)
    messages.success(request, _("예제를 되돌렸습니다."))
    return back(dataset, f"?page={number // PAGE + 1}#row-{number + 1}")


# --- the whole --------------------------------------------------------------------------------
@require_form
def rename(request: HttpRequest, pk: str) -> HttpResponse:
    dataset = found(request, pk)
    form = DatasetNameForm(request.POST or None, initial={"name": dataset.name})
    if request.method == "POST" and form.is_valid():
        editing.rename(dataset, form.cleaned_data["name"])
        return back(dataset)
    status = 422 if request.method == "POST" else 200
    context = {"dataset": dataset, "form": form}
    return render(request, "datasets/rename.html", context, status=status)


@require_form
def split(request: HttpRequest, pk: str) -> HttpResponse:
    """Draw rows by chance into a dataset of their own."""
    dataset = found(request, pk)
    form = SplitForm(dataset, request.POST or None)
    if request.method == "POST" and form.is_valid():
        apart = editing.split(dataset, **form.cleaned_data)
        words = _("예제 {count}개를 새 데이터로 나누었습니다: {name}")
        count = thousands(form.cleaned_data["count"])
        messages.success(request, words.format(count=count, name=apart.name))
        return back(apart)
    status = 422 if request.method == "POST" else 200
    context = {"dataset": dataset, "form": form}
    return render(request, "datasets/split.html", context, status=status)


@require_form
def merge(request: HttpRequest) -> HttpResponse:
    """Write the rows of several datasets into a new one."""
    form = MergeForm(own(request), request.POST or None)
    if request.method == "POST" and form.is_valid():
        version = editing.merge(request.user, form.cleaned_data["name"], form.cleaned_data["parts"])
        return back(version.dataset)
    status = 422 if request.method == "POST" else 200
    return render(request, "datasets/merge.html", {"form": form}, status=status)


@require_POST
def layout(request: HttpRequest, pk: str) -> HttpResponse:
    """Read the newest version's file again, as the form says."""
    dataset = found(request, pk)
    version = editing.newest(dataset)
    form = LayoutForm(version.layout, version.choices, request.POST)
    context = {"dataset": dataset, "version": version, "layout_form": form}
    if form.is_valid():
        try:
            choices = Choices.of(form.choices()).as_dict()
            versions.read_again(dataset, version, choices)
            return redirect(safe_next(request, reverse("dataset", args=[pk])))
        except UserError as error:
            context["error"] = error
    return render(request, "datasets/layout.html", context, status=422)


@require_POST
def stop(request: HttpRequest, pk: str) -> HttpResponse:
    """Give up the reading that is under way."""
    dataset = found(request, pk)
    is_left = editing.stop(dataset)
    messages.success(request, _("읽기를 그만두었습니다."))
    return redirect(
        safe_next(request, reverse("dataset", args=[pk]) if is_left else reverse("datasets"))
    )


@require_POST
def refresh(request: HttpRequest, pk: str) -> HttpResponse:
    """Fetch the dataset's URL again, into a new version."""
    dataset = found(request, pk)
    editing.refresh(dataset)
    return back(dataset)


@require_POST
def go_back(request: HttpRequest, pk: str, number: int) -> HttpResponse:
    """Make an earlier version's rows the newest again."""
    dataset = found(request, pk)
    version = get_object_or_404(dataset.versions, number=number)
    editing.go_back(dataset, version)
    messages.success(request, _("{number}판의 예제로 되돌렸습니다.").format(number=number))
    return redirect(safe_next(request, reverse("dataset", args=[pk])))


@require_form
def purge(request: HttpRequest, pk: str) -> HttpResponse:
    """Ask, then delete the raw file and the earlier versions that nothing uses."""
    dataset = found(request, pk)
    if request.method != "POST":
        return render(request, "datasets/purge.html", {"dataset": dataset})
    editing.purge(dataset)
    messages.success(request, _("원본 파일과 쓰지 않는 이전 판을 지웠습니다."))
    return back(dataset)


# --- taking home ------------------------------------------------------------------------------
@require_GET
def download(request: HttpRequest, pk: str, ending: str) -> HttpResponse:
    """Send the newest version's examples as a file that is made while it is sent."""
    dataset = found(request, pk)
    if ending not in export.FORMATS:
        raise Http404
    make, media_type = export.FORMATS[ending]
    pieces = make(readable(dataset))
    return sent(pieces, f"{stem(dataset)}.{ending}", media_type)


@require_GET
def problems(request: HttpRequest, pk: str) -> HttpResponse:
    """Send the whole list of rows that could not be used as a table."""
    dataset = found(request, pk)
    rows = versions.problems(editing.newest(dataset), 0, None)
    name = f"{stem(dataset)}-{_('쓰지 못한 줄')}.csv"
    return sent(export.problems(rows, sentence), name, "text/csv; charset=utf-8")


def stem(dataset: Dataset) -> str:
    name, dot, ending = dataset.name.rpartition(".")
    return name if dot and len(ending) < 6 else dataset.name


def sent(pieces: Any, name: str, media_type: str) -> StreamingHttpResponse:
    """Answer with a file; what can't be made is refused before its first byte."""
    first = next(pieces, b"")
    body = in_threads(chain([first], pieces))
    return attached(StreamingHttpResponse(body, content_type=media_type), name)
