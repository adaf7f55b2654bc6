"""What stands around every page: navigation, queue pill, language, theme; and the pages of nobody's own."""

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from studio import guide
from training import health, heartbeats, line
from training.tasks import HEAVY, LIGHT

THEMES = ("light", "dark")
THEME_COOKIE = "theme"
YEAR_SECONDS = 365 * 24 * 3600
NAVIGATION: tuple[tuple[str, Promise, tuple[str, ...]], ...] = (
    ("home", _("시작하기"), ("home",)),
    ("train", _("모델 학습"), ("train", "wizard")),
    ("datasets", _("학습 데이터"), ("dataset",)),
    ("models", _("모델 관리"), ("model", "line")),
    ("playground", _("플레이그라운드"), ("playground", "conversation", "batch")),
)


@dataclass(frozen=True)
class Place:
    """One entry of the top bar."""

    name: str
    label: Promise
    url: str
    is_current: bool


class Frame:
    """The frame of one page. Counts are read from the database only where a page shows them."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    @cached_property
    def theme(self) -> str:
        chosen = self.request.COOKIES.get(THEME_COOKIE, "")
        return chosen if chosen in THEMES else ""

    @property
    def here(self) -> str:
        """The address to come back to: this page's, or of an answer to a form, its page's."""
        if self.request.method in ("GET", "HEAD"):
            return self.request.get_full_path()
        return (
            urlsplit(self.request.headers.get("Referer", ""))
            ._replace(scheme="", netloc="")
            .geturl()
        )

    @cached_property
    def places(self) -> list[Place]:
        return [
            Place(name, label, reverse(name), self.route.startswith(prefixes))
            for name, label, prefixes in NAVIGATION
        ]

    @cached_property
    def route(self) -> str:
        """The name of the page's route."""
        match = self.request.resolver_match
        return (match.url_name or "") if match else ""

    @property
    def help_url(self) -> str:
        """The page of the guide that tells about this one."""
        return guide.address(guide.about(self.route))

    @cached_property
    def counts(self) -> dict[str, int]:
        user = getattr(self.request, "user", None)
        if user is None or not user.is_authenticated:
            return {"running": 0, "queued": 0}
        return line.counts()

    @property
    def running(self) -> int:
        return self.counts["running"]

    @property
    def queued(self) -> int:
        return self.counts["queued"]

    @property
    def is_live(self) -> bool:
        return bool(self.running or self.queued)

    @cached_property
    def waits_for_data(self) -> bool:
        """Whether data of this person's (of anybody's, for administrators) is to be worked on."""
        user = getattr(self.request, "user", None)
        if user is None or not user.is_authenticated:
            return False
        return health.has_light_work(None if user.is_staff else user)

    @property
    def polls(self) -> bool:
        """Whether the page asks now and then how things stand."""
        return self.is_live or self.waits_for_data

    @cached_property
    def silent(self) -> list[str]:
        """The lanes that are waited for and of whose workers nobody is heard."""
        awaited = {HEAVY: self.is_live, LIGHT: self.waits_for_data}
        if not any(awaited.values()):
            return []
        return [lane for lane in heartbeats.silent() if awaited[lane]]


def frame(request: HttpRequest) -> dict[str, Frame]:
    """Context processor: `frame` for every template."""
    return {"frame": Frame(request)}


@require_GET
def queue(request: HttpRequest) -> HttpResponse:
    """Answer the queue pill, for the page's own polling; with it comes word of workers that have
    fallen silent, or are heard again, since the page was told."""
    present = Frame(request)
    is_news = request.GET.get("silent", "") != "-".join(present.silent)
    return render(request, "_queue.html", {"frame": present, "is_news": is_news})


@login_not_required
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remember the theme that the user chose; an empty choice follows the system."""
    return remember(request, THEME_COOKIE, request.POST.get("theme", ""), THEMES)


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Remember the language that the user chose; an unknown one follows the browser."""
    chosen, known = request.POST.get("language", ""), dict(settings.LANGUAGES)
    return remember(request, settings.LANGUAGE_COOKIE_NAME, chosen, known)


def remember(request: HttpRequest, cookie: str, chosen: str, known: Container) -> HttpResponse:
    """Keep a choice in a cookie and go back to the page that it was made on."""
    response = redirect(safe_next(request))
    if chosen in known:
        response.set_cookie(cookie, chosen, max_age=YEAR_SECONDS, samesite="Lax")
    else:
        response.delete_cookie(cookie)
    return response


def stale(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Refuse a form whose page is not ours or has been open for too long."""
    return render(request, "403.html", status=403)


def safe_next(request: HttpRequest, otherwise: str = "") -> str:
    """Return where the form asks to go on to, if that is a page of ours; else home or elsewhere."""
    goal = request.POST.get("next") or request.GET.get("next") or ""
    is_path = goal.startswith("/")  # redirect() would take a word for the name of a view
    if is_path and url_has_allowed_host_and_scheme(goal, allowed_hosts={request.get_host()}):
        return goal
    return otherwise or reverse("home")
