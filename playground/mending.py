"""The page on which an answer is mended and becomes an example of one of the user's datasets."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from training.chat import Message
from training.datasets import editing
from training.errors import UserError
from training.models import Dataset

LISTED = 100


def mend_page(
    request: HttpRequest, asked: Sequence[Message], wanted: str, *, key: int,
    onward: tuple[str, str], title: str, conversation: str = "", said: str = "",
) -> HttpResponse:  # fmt: skip
    """Show the page, or do what it sends and go `onward` (name and id of a page called `title`).

    `wanted` is what the answer begins with there, `said` what the model said where that is something
    else, `key` what tells the answer from others.
    """
    owned = Dataset.objects.filter(owner=request.user, versions__status="ready").distinct()
    datasets = owned.order_by("-created_at")[:LISTED]
    mended, chosen = request.POST.get("answer", wanted), request.POST.get("dataset", "")
    problem = None
    if request.method == "POST":
        dataset = get_object_or_404(owned, pk=chosen)
        try:
            turns = [(one.role, one.content) for one in asked]
            example = editing.example_of([*turns, ("assistant", mended)])
            editing.add(dataset, [example], conversation=conversation)
        except UserError as error:
            problem = error
        else:
            messages.success(
                request, _("고친 답변을 «%(name)s»에 예제로 더했습니다.") % {"name": dataset}
            )
            return redirect(*onward)
    context = {
        "back": reverse(onward[0], args=onward[1:]), "title": title, "key": key, "asked": asked,
        "mended": mended, "said": said if said.strip() != mended.strip() else "",
        "datasets": datasets, "chosen": chosen, "problem": problem,
    }  # fmt: skip
    status = 422 if problem else 200
    return render(request, "playground/mend.html", context, status=status)
