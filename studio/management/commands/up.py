"""`manage.py up`: the whole studio in one terminal."""

import sys

from django.conf import settings
from django.core.management.base import BaseCommand

from studio import accounts
from studio.supervisor import CannotStart, Supervisor
from training import tasks
from training.datasets import versions
from training.hub import downloads


class Command(BaseCommand):
    help = "Start web, workers and engine, and keep them up until Ctrl-C."

    def handle(self, *args: object, **options: object) -> None:
        versions.sweep()
        downloads.sweep()
        try:
            Supervisor().run(self.announce)
        except CannotStart as error:
            sys.exit(f"dadeum: {error}")
        self.say("모두 멈췄습니다. 진행 중이던 학습은 다음에 시작할 때 이어집니다.")

    def announce(self) -> None:
        host = "127.0.0.1" if settings.HOST in ("0.0.0.0", "::") else settings.HOST
        address = f"http://{host}:{settings.PORT}"
        self.say(f"다듬이 준비되었습니다: {address}")
        if accounts.needs_setup():
            self.say("처음 한 번, 아래 주소를 열어 관리자 계정을 만드세요.")
            self.say(f"  {address}/setup/{accounts.setup_token()}/")
        self.say("끝내려면 Ctrl-C를 누르세요.")
        tasks.ring("measure", "machine")  # so that forecasts are there from the first page on

    def say(self, text: str) -> None:
        print(f"dadeum: {text}", flush=True)
