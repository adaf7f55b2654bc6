"""`manage.py finetune FILE --base … --name …`: the whole main job without a browser."""

import shutil
import sys
import time
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandParser

from training import bases, drafts, jobs, recipe, registry, tasks, wording
from training.datasets import versions
from training.errors import UserError
from training.models import Job, TokenCount


class Command(BaseCommand):
    help = "Fine-tune a base model on a file and print where the result lies."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--base", default="smollm2-135m-instruct")
        parser.add_argument("--name", required=True)
        parser.add_argument("--method", choices=list(recipe.METHODS), default=recipe.LORA)
        parser.add_argument("--owner", help="user name; the first administrator by default")
        for knob in recipe.KNOBS:
            parser.add_argument(f"--{knob.key.replace('_', '-')}", default="auto")

    def handle(self, *args: object, **options) -> None:
        try:
            job = self.start(options)
            self.follow(job)
        except UserError as error:
            sentence = wording.say(error.code, error.params)
            sys.exit(f"dadeum: {sentence.what} {sentence.cure}")
        except recipe.Invalid as error:
            sys.exit("dadeum: " + " ".join(str(text) for text in error.errors.values()))

    def start(self, options: dict) -> Job:
        owner = self.owner(options["owner"])
        knobs = recipe.parse(options["method"], options)
        if not options["file"].is_file():
            sys.exit(f"dadeum: 파일이 없습니다: {options['file']}")
        copy = Path(shutil.copy(options["file"], versions.incoming()))
        version = versions.from_upload(owner, options["file"].name, copy)
        while version.is_busy:
            versions.read(version.pk)
            version.refresh_from_db()
            time.sleep(0.05)
        job = drafts.create_draft(owner)
        drafts.edit(
            job, name=options["name"], method=options["method"], base=bases.find(options["base"]).slug,
            knobs=knobs, version=version,
        )  # fmt: skip
        while (count := drafts.token_count(job)) and count.status in (
            TokenCount.Status.WAITING,
            TokenCount.Status.COUNTING,
        ):
            versions.count(str(count.pk))
            time.sleep(0.05)
        jobs.start(job)
        return job

    def owner(self, name: str | None):
        users = get_user_model().objects.order_by("pk")
        found = users.filter(username=name) if name else users.filter(is_staff=True)
        user = found.first()
        if user is None and name:
            sys.exit(f"dadeum: 사용자가 없습니다: {name}")
        return user or get_user_model().objects.get_or_create(username="local")[0]

    def follow(self, job: Job) -> None:
        """Run the job here, or watch the worker that took it, to its end."""
        while not job.is_final:
            tasks.KINDS["train"].run(job.pk)
            time.sleep(0.2)
            job.refresh_from_db()
        if job.status == Job.Status.SUCCEEDED:
            self.stdout.write(str(registry.folder(job.tuned)))
        elif job.error:
            raise UserError.of(job.error)
        else:
            sys.exit("dadeum: 취소되었습니다.")
