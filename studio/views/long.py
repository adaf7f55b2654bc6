"""Doors of step 3's lengths: choose what becomes of long examples, follow how base models compare."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from studio.views.drafts import Summary
from studio.views.wizard import START, beside, draft_view
from training import limits
from training.models import Job


class WayForm(forms.Form):
    way = forms.ChoiceField(choices=[(key, key) for key in limits.WAYS])


@require_POST
@draft_view
def choose(request: HttpRequest, job: Job) -> HttpResponse:
    """Take one way with examples beyond the limit; what is no way, or not possible, changes nothing."""
    form, found = WayForm(request.POST), Summary(job).lengths
    if form.is_valid() and found:
        limits.choose(job, found.base, found.count, form.cleaned_data["way"])
    if request.htmx:
        return render(request, "wizard/_chosen.html", beside(job, START))
    return redirect(reverse("wizard-data", args=[job.pk]) + "#lengths")


@require_GET
@draft_view
def comparison(request: HttpRequest, job: Job) -> HttpResponse:
    """The table of base models while samples are counted in their tokens."""
    return render(request, "wizard/_cutters.html", beside(job, "", brings_notice=True))
