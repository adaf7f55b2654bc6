"""The built-in sample: citizens' enquiries to be sorted to departments, and the job that learns it.

320 records to learn from and 60 held out lie beside the readers (datasets/samples/).
"""

import json
import shutil
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

from django.utils.translation import gettext as _

from training import bases, forecast, jobs, line, recipe, works
from training.chat import Example, Message, Renderer
from training.datasets import lengths, versions
from training.errors import UserError
from training.forecast import Forecast
from training.models import DatasetVersion, Job

FOLDER = Path(__file__).parent / "datasets" / "samples"
KNOBS = {"epochs": 6, "learning_rate": 1e-3}
"""What benchmarks/sample.py found good for so small a base."""


def start(owner) -> Job:
    """Start learning the sample, or return the owner's job that does or did.

    Raises: UserError when the built-in base is missing, `queue_full`.
    """
    own = Job.objects.filter(owner=owner, version__source=DatasetVersion.Source.SAMPLE)
    for job in own.exclude(status__in=(Job.Status.FAILED, Job.Status.CANCELLED)):
        return job
    bases.find(bases.BUILTIN.slug)
    line.refuse_beyond_limit(owner.pk)  # before its data is stored
    folder = Path(mkdtemp(dir=versions.incoming()))
    copy = Path(shutil.copy(FOLDER / "enquiries.jsonl", folder))
    source = DatasetVersion.Source.SAMPLE
    version = versions.from_upload(owner, _("민원 부서 나누기 예제.jsonl"), copy, source)
    folder.rmdir()
    return jobs.submit(
        owner, name=_("민원 부서 나누기"), method=recipe.LORA, base=bases.BUILTIN.slug,
        knobs=KNOBS, version=version, work=works.CLASSIFY,
    )  # fmt: skip


def is_practice(job: Job) -> bool:
    """Say whether a job taught the sample to the built-in base, whose answers were counted."""
    return bool(job.version and job.version.is_sample) and job.base == bases.BUILTIN.slug


def records(name: str) -> list[dict]:
    """Return prompt and completion of each record of `enquiries` or `enquiries-held-out`."""
    lines = (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def held_out(count: int) -> list[dict]:
    """Return some records that the training never saw, one of each department in turn, with the
    bare enquiry beside the prompt."""
    found: dict[str, list[dict]] = {}
    for record in records("enquiries-held-out"):
        enquiry = record["prompt"].partition("민원: ")[2].partition("\n")[0]
        found.setdefault(record["completion"], []).append(record | {"enquiry": enquiry})
    turns = [record for group in zip(*found.values(), strict=False) for record in group]
    return turns[:count]


def with_examples(question: str, count: int = 5) -> str:
    """Return a question with a few solved ones before it, as one would prompt without tuning."""
    shown: dict[str, dict] = {}
    for record in records("enquiries"):
        shown.setdefault(record["completion"], record)
    solved = [f"{r['prompt']} {r['completion']}" for r in list(shown.values())[:count]]
    return "\n\n".join([*solved, question])


def expected() -> Forecast | None:
    """Forecast how long the sample takes here; None until this machine has been measured."""
    try:
        base = bases.find(bases.BUILTIN.slug)
    except UserError:
        return None
    result = _lengths(base.folder)
    numbers = recipe.resolve(
        recipe.LORA, KNOBS, examples=result["count"], context_length=base.context_length,
        parameters=base.parameters,
    )  # fmt: skip
    kept = lengths.kept(result, numbers["max_length"])
    return forecast.forecast(base, recipe.LORA, numbers, kept)


@lru_cache(maxsize=2)
def _lengths(folder: Path) -> dict:
    tally = lengths.Tally()
    examples = [
        Example((Message("user", r["prompt"]), Message("assistant", r["completion"])))
        for r in records("enquiries")
    ]
    for encoded in Renderer.of(folder).encode_many(examples):
        tally.add(encoded)
    return tally.result()
