"""What the form of a batch sends: strings in, a checked Wish and its source out."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from playground import batches, homes
from playground.batches import DATA, FILE, HELD, Wish
from playground.models import Batch
from playground.parameters import Parameters
from training.datasets import questions
from training.errors import UserError
from training.models import Dataset, TunedModel

GREEDY = {"temperature": 0}
"""What a batch begins with: the same question gets the same answer."""
SET_HERE = ("temperature", "max_tokens", "top_p", "repetition_penalty")
"""The parameters that the page offers."""


@dataclass(frozen=True)
class BatchForm:
    """The values that the page shows: those that were sent, or what it begins with."""

    owner: Any
    model: str
    system_prompt: str
    parameters: dict
    source: str
    held: str
    dataset: str
    most: str
    draw: str

    @classmethod
    def of(cls, request: HttpRequest, tuned: list[TunedModel]) -> "BatchForm":
        sent = request.POST if request.method == "POST" else request.GET
        choices = homes.choices(request.user)
        model = sent.get("model", "")
        model = model if choices.label(model) else choices.first
        held = sent.get("held", model.removeprefix("tuned:"))
        begins_held = "model" in sent and any(row.pk == held for row in tuned)
        defaults = Parameters.parse(homes.parameters(model).as_dict() | GREEDY)
        return cls(
            owner=request.user,
            model=model,
            system_prompt=sent.get("system_prompt", ""),
            parameters={
                name: sent.get(name, f"{getattr(defaults, name):g}") for name in SET_HERE
            },
            source=sent.get("source", HELD if begins_held else FILE),
            held=held,
            dataset=sent.get("dataset", ""),
            most=sent.get("most", str(questions.MOST)),
            draw=sent.get("draw", "first"),
        )  # fmt: skip

    def make(self, request: HttpRequest) -> Batch:
        """Put the batch in line.

        Raises: UserError of Parameters.parse, `questions_count_wrong`, `source_missing` and those of
        batches.
        """
        wish = Wish(
            model=request.POST.get("model", ""),
            parameters=Parameters.parse(self.parameters),
            system_prompt=self.system_prompt,
            most=int(self.most) if self.most.isdecimal() and len(self.most) < 6 else 0,
            is_random=self.draw == "random",
        )
        if self.source == HELD:
            tuned = TunedModel.objects.filter(owner=self.owner, pk=self.held).first()
            return batches.from_held_back(self.owner, wish, _there(tuned))
        if self.source == DATA:
            dataset = Dataset.objects.filter(owner=self.owner, pk=self.dataset).first()
            return batches.from_data(self.owner, wish, _there(dataset))
        file: Any = _there(request.FILES.get("file"))
        return batches.from_file(self.owner, wish, file.name, file.temporary_file_path())


def _there(found: Any) -> Any:
    """Raises: UserError `source_missing`."""
    if not found:
        raise UserError("source_missing")
    return found
