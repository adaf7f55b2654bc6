"""`manage.py up`: the whole studio in one terminal."""

import sys

from django.conf import settings
from django.core.management.base import BaseCommand

from studio import accounts
from studio.supervisor import CannotStart, Supervisor
from training import forecast
from training.datasets import versions
from training.hub import downloads

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def public_address() -> str:
    """Return the address to open: the first public name, or where this machine listens."""
    if settings.HTTPS:
        return f"https://{settings.PUBLIC_HOSTS[0].removeprefix('.')}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.PORT}"


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
        address = public_address()
        self.say(f"다듬이 준비되었습니다: {address}")
        if not settings.HTTPS and settings.HOST not in LOOPBACK:
            self.say(
                "주의: 다른 컴퓨터에서도 열리지만 암호화되지 않아, 비밀번호와 대화가 그대로 오갑니다. README의 HTTPS를 보세요."
            )
        if accounts.needs_setup():
            self.say("처음 한 번, 아래 주소를 열어 관리자 계정을 만드세요.")
            self.say(f"  {address}/setup/{accounts.setup_token()}/")
        self.say("끝내려면 Ctrl-C를 누르세요.")
        forecast.know_machine()  # so that forecasts are there from the first page on

    def say(self, text: str) -> None:
        print(f"dadeum: {text}", flush=True)
