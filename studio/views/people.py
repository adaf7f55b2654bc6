"""Doors for people: set-up, sign-in, password, and the administrators' list of accounts."""

from collections.abc import Callable
from functools import wraps
from threading import BoundedSemaphore

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from studio import accounts, throttle
from studio.forms import NewPersonForm, PersonForm
from studio.models import User
from studio.views.frame import safe_next
from training.errors import UserError

View = Callable[..., HttpResponse]
require_form = require_http_methods(["GET", "HEAD", "POST"])
hashing = BoundedSemaphore(4)
"""Passwords that are looked at at once."""


def administrators_only(view: View) -> View:
    """For anybody else the page is not there."""

    @wraps(view)
    def checked(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not request.user.is_staff:
            raise Http404
        return view(request, *args, **kwargs)

    return checked


@login_not_required
@sensitive_post_parameters()
@require_form
def setup(request: HttpRequest, token: str) -> HttpResponse:
    """Make the first administrator's account and sign in with it."""
    if not accounts.opens_setup(token):
        return render(request, "setup_used.html", status=404)
    form = PersonForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "setup.html", {"form": form}, status=422 if form.errors else 200)
    user = accounts.create_administrator(token, **form.account())
    if user is None:
        return render(request, "setup_used.html", status=404)
    login(request, user)
    return redirect("home")


@login_not_required
@sensitive_post_parameters()
@require_form
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("home")
    if request.method == "POST":
        try:
            throttle.admit(*_who(request))
        except UserError as paused:
            return _sign_in_page(request, AuthenticationForm(request), 429, paused)
    form = AuthenticationForm(request, request.POST or None)
    with hashing:  # each look at a password takes 100 MB
        is_right = request.method == "POST" and form.is_valid()
    if is_right:
        throttle.forgive(*_who(request))
        login(request, form.get_user())
        return redirect(safe_next(request))
    return _sign_in_page(request, form, 422 if form.errors else 200)


def _who(request: HttpRequest) -> tuple[str, str]:
    return request.POST.get("username", ""), request.META.get("REMOTE_ADDR", "")


def _sign_in_page(
    request: HttpRequest, form: AuthenticationForm, status: int, paused: UserError | None = None
) -> HttpResponse:
    goal = request.POST.get("next") or request.GET.get("next", "")
    context = {"form": form, "next": goal, "paused": paused}
    response = render(request, "login.html", context, status=status)
    if paused:
        response["Retry-After"] = str(paused.params["minutes"] * 60)
    return response


@login_not_required
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("login")


@sensitive_post_parameters()
@require_form
def password(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        throttle.admit(request.user.username, _who(request)[1])
    form = PasswordChangeForm(request.user, request.POST or None)
    with hashing:
        is_right = request.method == "POST" and form.is_valid()
    if is_right:
        throttle.forgive(request.user.username, _who(request)[1])
        update_session_auth_hash(request, form.save())
        messages.success(request, _("비밀번호를 바꾸었습니다."))
        return redirect("home")
    status = 422 if form.errors else 200
    return render(request, "people/password.html", {"form": form}, status=status)


@sensitive_post_parameters()
@require_form
@administrators_only
def people(request: HttpRequest) -> HttpResponse:
    """List the accounts and add one."""
    form = NewPersonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        is_administrator = form.cleaned_data["role"] == "administrator"
        person = accounts.add_person(**form.account(), is_administrator=is_administrator)
        messages.success(request, _("{name} 계정을 만들었습니다.").format(name=person))
        return redirect("people")
    context = {"form": form, "people": User.objects.order_by("-is_active", "username")}
    return render(request, "people/people.html", context, status=422 if form.errors else 200)


@require_POST
@administrators_only
def active(request: HttpRequest, pk: int) -> HttpResponse:
    """Let an account in again or keep it out."""
    person = get_object_or_404(User, pk=pk)
    accounts.set_active(person, request.POST.get("active") == "1", by=request.user)
    if person.is_active:
        messages.success(request, _("{name} 계정을 다시 쓸 수 있습니다.").format(name=person))
    else:
        messages.success(request, _("{name} 계정을 멈추었습니다.").format(name=person))
    return redirect("people")


@never_cache
@require_form
@administrators_only
def new_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then give an account a password that is shown this once."""
    person = get_object_or_404(User, pk=pk)
    if request.method != "POST":
        return render(request, "people/reset.html", {"person": person})
    secret = accounts.reset_password(person, by=request.user)
    return render(request, "people/new_password.html", {"person": person, "secret": secret})
