"""Forms of watching a training: the questions that it is watched by."""

from django import forms
from django.utils.translation import gettext as _

from training import probes
from training.models import Job


class ProbesForm(forms.Form):
    """지켜볼 질문: up to three; an empty one is none."""

    def __init__(self, job: Job, data: object = None) -> None:
        initial = {f"probe_{place}": text for place, text in enumerate(job.probes, 1)}
        super().__init__(data, initial=initial)
        too_long = _("질문은 {limit}자까지 적을 수 있습니다.").format(limit=probes.LETTERS)
        for place in range(1, probes.MOST + 1):
            self.fields[f"probe_{place}"] = forms.CharField(
                label=_("질문 {number}").format(number=place),
                max_length=probes.LETTERS,
                required=False,
                error_messages={"max_length": too_long},
                widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off"}),
            )

    def questions(self) -> list[str]:
        return probes.cleaned(self.cleaned_data[name] for name in self.fields)
