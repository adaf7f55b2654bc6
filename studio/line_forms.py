"""What a page may send about a place in line: when to start, how urgent, which way to move."""

from datetime import datetime

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training import line, wording
from training.errors import UserError
from training.models import Job

NOW, NIGHT, AT = "now", "night", "at"
TO_THE_MINUTE = "%Y-%m-%dT%H:%M"


class WhenForm(forms.Form):
    """When a training may begin at the earliest."""

    when = forms.ChoiceField(
        choices=[(NOW, ""), (NIGHT, ""), (AT, "")],
        error_messages={"required": gettext_lazy("언제 시작할지 고르세요.")},
    )
    at = forms.DateTimeField(
        required=False,
        error_messages={"invalid": gettext_lazy("날짜와 시각을 모두 적으세요.")},
    )

    @classmethod
    def of(cls, job: Job) -> "WhenForm":
        """Return the form as a draft or a waiting job fills it."""
        chosen, tonight = job.not_before, line.tonight()
        if chosen is None or chosen <= timezone.now():
            return cls(initial={"when": NOW, "at": tonight})
        return cls(initial={"when": NIGHT if chosen == tonight else AT, "at": chosen})

    @property
    def tonight(self) -> datetime:
        return line.tonight()

    @property
    def written(self) -> str:
        """The time as the browser's own field takes it."""
        value = self["at"].value()  # in local time
        return value.strftime(TO_THE_MINUTE) if isinstance(value, datetime) else value or ""

    @property
    def earliest(self) -> str:
        return timezone.localtime().strftime(TO_THE_MINUTE)

    def clean(self) -> dict:
        cleaned = super().clean() or {}
        if cleaned.get("when") != AT or self.errors:
            return cleaned
        if cleaned["at"] is None:
            self.add_error("at", _("시작할 날짜와 시각을 적으세요."))
            return cleaned
        try:
            line.not_before(cleaned["at"])
        except UserError as error:
            words = wording.say(error.code, error.params)
            self.add_error("at", f"{words.what} {words.cure}")
        return cleaned

    def moment(self) -> datetime | None:
        """Return the time that was chosen; None for now."""
        chosen = {NIGHT: line.tonight(), AT: self.cleaned_data["at"]}
        return line.not_before(chosen.get(self.cleaned_data["when"]))


class PriorityForm(forms.Form):
    priority = forms.TypedChoiceField(choices=list(line.PRIORITIES.items()), coerce=int)


class MoveForm(forms.Form):
    step = forms.TypedChoiceField(choices=[(-1, ""), (1, "")], coerce=int)
