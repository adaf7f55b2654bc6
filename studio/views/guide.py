"""The door of the user guide."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from studio import guide


@require_GET
def page(request: HttpRequest, key: str = guide.INDEX) -> HttpResponse:
    """Show one page of the guide between its neighbours, or its first page of all."""
    found, pages = guide.find(key), guide.pages()
    if found is None:
        raise Http404
    before, after = neighbours(pages, found)
    context = {"page": found, "pages": pages, "before": before, "after": after}
    return render(request, "help/page.html", context)


def neighbours(pages: list[guide.Page], page: guide.Page) -> tuple[guide.Page | None, ...]:
    """Return the pages before and after; the index stands before the first."""
    row = [guide.find(guide.INDEX), *pages, None]
    place = row.index(page)
    return row[place - 1] if place else None, row[place + 1]
