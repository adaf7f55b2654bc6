"""Forms: what a page may send, checked. The bounds of knobs are recipe's, not ours."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from studio.models import User
from training import bases, recipe, recipe_file, wording, works
from training.errors import UserError
from training.models import Job

RECOMMENDED, MANUAL, FROM_FILE = "recommended", "manual", "file"
NEW_PASSWORD = {"autocomplete": "new-password"}
EMPTY_FILE = gettext_lazy("내용이 없는 파일입니다. 다른 파일을 선택하세요.")


class PersonForm(forms.ModelForm):
    """An account's user name, name and password."""

    password = forms.CharField(
        label=gettext_lazy("비밀번호"),
        help_text=gettext_lazy(
            "8자 이상으로, 짐작하기 어렵게 정하세요. 숫자만으로는 만들 수 없습니다."
        ),
        widget=forms.PasswordInput(attrs=NEW_PASSWORD),
        strip=False,
    )
    again = forms.CharField(
        label=gettext_lazy("비밀번호 확인"),
        widget=forms.PasswordInput(attrs=NEW_PASSWORD),
        strip=False,
    )

    class Meta:
        model = User
        fields = ("username", "name")
        labels = {"username": gettext_lazy("아이디")}
        help_texts = {
            "username": gettext_lazy(
                "로그인할 때 씁니다. 글자, 숫자와 @ . + - _ 를 쓸 수 있습니다."
            ),
            "name": gettext_lazy("화면 위쪽에 보이는 이름입니다. 비워 두면 아이디가 보입니다."),
        }
        error_messages = {
            "username": {
                "invalid": gettext_lazy(
                    "아이디에는 빈칸을 쓸 수 없습니다. 글자, 숫자와 @ . + - _ 만 쓰세요."
                ),
                "unique": gettext_lazy("이미 쓰고 있는 아이디입니다. 다른 아이디를 정하세요."),
            }
        }

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs["autocomplete"] = "username"
        self.fields["name"].widget.attrs["autocomplete"] = "name"

    def clean(self) -> dict:
        cleaned = super().clean()
        password, again = cleaned.get("password"), cleaned.get("again")
        if password and again and password != again:
            self.add_error("again", _("두 비밀번호가 서로 다릅니다."))
        elif password:
            try:
                validate_password(password, User(username=cleaned.get("username", "")))
            except ValidationError as error:
                self.add_error("password", error)
        return cleaned

    def account(self) -> dict[str, str]:
        return {key: self.cleaned_data[key] for key in ("username", "name", "password")}


class NewPersonForm(PersonForm):
    """An account that an administrator makes for somebody."""

    role = forms.ChoiceField(
        label=gettext_lazy("역할"),
        choices=[
            ("member", gettext_lazy("사용자: 자기 데이터와 모델만 봅니다")),
            ("administrator", gettext_lazy("관리자: 계정도 추가하고 멈출 수 있습니다")),
        ],
        initial="member",
        widget=forms.RadioSelect,
    )


class KeyForm(forms.Form):
    """A new API key."""

    name = forms.CharField(
        label=gettext_lazy("키 이름"),
        max_length=60,
        help_text=gettext_lazy("어디에서 쓰는 키인지 나중에 알아볼 수 있게 적으세요."),
        error_messages={"required": gettext_lazy("이름을 입력하세요.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class MethodForm(forms.Form):
    """Step 1: the method, and the kind of work if one is chosen."""

    work = forms.ChoiceField(
        choices=[("", ""), *((work.key, work.label) for work in works.WORKS.values())],
        required=False,
    )
    method = forms.ChoiceField(
        choices=[(method.key, method.label) for method in recipe.METHODS.values()],
        error_messages={"required": gettext_lazy("학습 방법을 하나 선택하세요.")},
    )


class ModelForm(forms.Form):
    """Step 2: name, base and knobs. `is_draft` lets unfinished values through, for autosave."""

    name = forms.CharField(label=gettext_lazy("모델 이름"), max_length=64, required=False)
    base = forms.CharField(label=gettext_lazy("기본 모델"), max_length=100, required=False)
    mode = forms.ChoiceField(
        choices=[(RECOMMENDED, ""), (MANUAL, ""), (FROM_FILE, "")],
        required=False,
        initial=RECOMMENDED,
    )
    overflow = forms.ChoiceField(
        label=gettext_lazy("긴 예제"),
        choices=recipe.OVERFLOWS.items(),
        required=False,
        help_text=gettext_lazy("«예제 최대 길이»보다 긴 예제를 어떻게 할지 정합니다."),
    )

    def __init__(
        self, job: Job, data: dict | None = None, *, is_draft: bool = False, is_manual: bool = False,
        sought: str = "",
    ) -> None:  # fmt: skip
        """`sought` is a knob that somebody came for: it is laid open."""
        self.job, self.is_draft, self.sought = job, is_draft, sought
        values = {key: recipe_text(value) for key, value in job.knobs.items()}
        is_manual = is_manual or bool(sought) or bool(job.knobs) or job.overflow != recipe.CUT
        mode = MANUAL if is_manual else RECOMMENDED
        values["overflow"] = job.overflow
        super().__init__(data, initial={"name": job.name, "base": job.base, "mode": mode, **values})
        for knob in recipe.knobs_of(job.method):
            is_advised = works.is_advised(job.work, knob.key)
            itself = _("권장") if is_advised else _("자동")
            self.fields[knob.key] = forms.CharField(
                label=knob.label,
                required=False,
                max_length=20,
                help_text=knob.help,
                widget=forms.TextInput(
                    attrs={"inputmode": "decimal", "placeholder": itself, "autocomplete": "off"}
                ),
            )

    def clean_name(self) -> str:
        name = self.cleaned_data["name"].strip()
        if not name and not self.is_draft:
            raise ValidationError(_("모델 이름을 입력하세요. 나중에 바꿀 수 있습니다."))
        return name

    def clean_base(self) -> str:
        slug = self.cleaned_data["base"]
        usable = {base.slug for base in bases.catalogue() if not base.problem}
        if slug not in usable and not (self.is_draft and not slug):
            raise ValidationError(_("기본 모델을 하나 선택하세요."))
        return slug

    def clean_overflow(self) -> str:
        return self.cleaned_data["overflow"] or recipe.CUT

    def clean(self) -> dict:
        cleaned = super().clean()
        cleaned["knobs"] = {}
        if cleaned.get("mode") == FROM_FILE:  # what a file filled in comes by its own door
            cleaned |= {"knobs": self.job.knobs, "overflow": self.job.overflow}
        elif cleaned.get("mode") != MANUAL:
            cleaned["overflow"] = recipe.CUT
        else:
            try:
                cleaned["knobs"] = recipe.parse(self.job.method, self.data)
            except recipe.Invalid as invalid:
                for key, text in invalid.errors.items():
                    self.add_error(key, str(text))
                cleaned["knobs"] = invalid.sound | self.kept(invalid.errors)
        return cleaned

    def kept(self, wrong: Iterable[str]) -> dict:
        """Return the last sound values of the knobs that are wrong now."""
        return {key: self.job.knobs[key] for key in wrong if key in self.job.knobs}

    def draft(self) -> dict:
        """Return the draft's fields as far as they are sound, one by one."""
        keys = [key for key in ("name", "base", "overflow") if not self[key].errors]
        return {key: self.cleaned_data[key] for key in (*keys, "knobs")}

    def knobs(self, expert: bool) -> Iterator[tuple[recipe.Knob, forms.BoundField]]:
        """Yield each knob, with the rule for the draft's kind of work, and its field."""
        for knob in recipe.knobs_of(self.job.method):
            if knob.expert == expert:
                yield replace(knob, rule=works.rule(self.job.work, knob)), self[knob.key]

    def main_knobs(self) -> list:
        return list(self.knobs(expert=False))

    def expert_knobs(self) -> list:
        return list(self.knobs(expert=True))

    @property
    def is_manual(self) -> bool:
        return self["mode"].value() == MANUAL

    @property
    def is_from_file(self) -> bool:
        return self["mode"].value() == FROM_FILE

    @property
    def opens_expert(self) -> bool:
        if self["overflow"].value() not in (None, "", recipe.CUT):
            return True
        return any(
            field.value() or field.errors or field.name == self.sought
            for _knob, field in self.knobs(expert=True)
        )


def recipe_text(value: float) -> str:
    """Write a knob's number the way a person would type it."""
    if float(value) == int(value):
        return str(int(value))
    return f"{value:.12f}".rstrip("0")


class RecipeForm(forms.Form):
    """설정 파일로: a recipe that was saved, for the draft's method."""

    recipe = forms.FileField(
        label=gettext_lazy("설정 파일"),
        error_messages={
            "required": gettext_lazy("설정 파일을 먼저 고르세요."),
            "empty": EMPTY_FILE,
        },
    )

    def __init__(self, job: Job, *args: object) -> None:
        super().__init__(*args)
        self.job = job

    def clean_recipe(self) -> recipe_file.Recipe:
        """Read the file. Its mistakes become the field's, each with its cure."""
        file = self.cleaned_data["recipe"]
        try:
            if file.size > recipe_file.MAX_BYTES:
                raise recipe_file.Unusable([UserError("recipe_foreign")])
            return recipe_file.read(file.read(), self.job.method)
        except recipe_file.Unusable as unusable:
            said = [wording.say(error.code, error.params) for error in unusable.errors]
            raise ValidationError([f"{words.what} {words.cure}" for words in said]) from None


class HubForm(forms.Form):
    """A model of the hub."""

    repo = forms.CharField(
        label=gettext_lazy("모델 허브의 이름"),
        max_length=300,
        help_text=gettext_lazy("«만든 곳/모델 이름»을 쓰거나 모델 페이지의 주소를 붙여 넣으세요."),
        error_messages={"required": gettext_lazy("받을 모델의 이름을 입력하세요.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    revision = forms.CharField(
        label=gettext_lazy("버전(선택)"),
        max_length=100,
        required=False,
        help_text=gettext_lazy("비워 두면 가장 새로운 것을 받습니다."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class FilesField(forms.FileField):
    """Several files at once, each checked as one."""

    def clean(self, data: list, initial: object = None) -> list:
        if not data:
            raise ValidationError(self.error_messages["required"], code="required")
        return [super(FilesField, self).clean(file, initial) for file in data]


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FolderForm(forms.Form):
    """A model folder from the administrator's own computer."""

    name = forms.CharField(
        label=gettext_lazy("기본 모델의 이름"),
        max_length=100,
        help_text=gettext_lazy(
            "목록에 보일 이름입니다. 영문자, 숫자, 점(.), 밑줄(_), 붙임표(-)를 쓸 수 있습니다."
        ),
        error_messages={"required": gettext_lazy("이름을 입력하세요.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    files = FilesField(
        label=gettext_lazy("모델 폴더의 파일"),
        error_messages={
            "required": gettext_lazy("모델 폴더의 파일을 모두 고르세요."),
            "empty": gettext_lazy("내용이 없는 파일이 있습니다. 원래 배포된 파일인지 확인하세요."),
        },
        widget=FilesInput(attrs={"multiple": True}),
    )


class NameForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("모델 이름"),
        max_length=64,
        error_messages={"required": gettext_lazy("이름을 입력하세요.")},
    )
