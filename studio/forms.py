"""Forms: what a page may send, checked. The bounds of knobs are recipe's, not ours."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from studio.models import User
from training import bases, recipe, recipe_file, wording, works
from training.datasets import arrivals, room, versions
from training.errors import UserError
from training.models import Dataset, DatasetVersion, Job

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
            (
                "administrator",
                gettext_lazy(
                    "관리자: 계정을 추가하고 멈추며, 모두가 쓰는 기본 모델을 받고 지웁니다"
                ),
            ),
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
    """Step 2: name, base and knobs. `is_draft` lets unfinished values through, for autosave;
    `sought` is the knob that a link leads to."""

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
        self, job: Job, data: dict | None = None, *, is_draft: bool = False,
        is_manual: bool = False, sought: str = "",
    ) -> None:  # fmt: skip
        self.job, self.is_draft = job, is_draft
        self.sought = next(
            (knob for knob in recipe.knobs_of(job.method) if knob.key == sought), None
        )
        values = {key: recipe_text(value) for key, value in job.knobs.items()}
        is_manual = bool(is_manual or self.sought or job.knobs or job.overflow != recipe.CUT)
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
                    | {"autofocus": knob is self.sought}
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
        if self.sought and self.sought.expert:
            return True
        return any(field.value() or field.errors for _knob, field in self.knobs(expert=True))


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


class UploadForm(forms.Form):
    """A data file: the whole of it, or the name of an arrival whose pieces are all here."""

    file = forms.FileField(
        label=gettext_lazy("JSONL 파일을 업로드"),
        required=False,
        error_messages={"empty": EMPTY_FILE},
    )
    arrival = forms.CharField(required=False, max_length=100)

    def __init__(self, owner: User, *sent: Any) -> None:
        super().__init__(*sent)
        self.owner = owner

    def clean_file(self) -> object:
        file = self.cleaned_data["file"]
        if not file and not self.data.get("arrival"):
            raise ValidationError(_("파일을 먼저 선택하세요."))
        try:
            if file:
                room.refuse(self.owner, file.size)
        except UserError as error:
            words = wording.say(error.code, error.params)
            raise ValidationError(f"{words.what} {words.cure}") from None
        return file

    def take(self) -> DatasetVersion:
        """Make a dataset of what was sent, and queue its reading.

        Raises: UserError `upload_out_of_step`.
        """
        if file := self.cleaned_data["file"]:
            return versions.from_upload(self.owner, file.name, file.temporary_file_path())
        arrival = arrivals.find(self.owner, self.cleaned_data["arrival"])
        if arrival is None:
            raise UserError("upload_out_of_step")
        return arrivals.take(arrival, self.owner)


class UrlForm(forms.Form):
    url = forms.CharField(
        label=gettext_lazy("URL로부터 JSONL 파일을 업로드"),
        max_length=2000,
        error_messages={"required": gettext_lazy("주소를 입력하세요.")},
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
    )


class LibraryForm(forms.Form):
    """One of the user's own versions that were read well: the newest of each dataset."""

    version = forms.ModelChoiceField(
        label=gettext_lazy("내 학습 데이터에서 선택"),
        queryset=DatasetVersion.objects.none(),
        error_messages={
            "required": gettext_lazy("데이터를 하나 선택하세요."),
            "invalid_choice": gettext_lazy("고른 데이터를 찾을 수 없습니다. 다시 선택하세요."),
        },
    )

    def __init__(self, owner: User, data: dict | None = None) -> None:
        super().__init__(data)
        self.fields["version"].queryset = library(owner)


def library(owner: User) -> QuerySet[DatasetVersion]:
    newest = DatasetVersion.objects.filter(dataset=OuterRef("dataset")).order_by("-number")
    return DatasetVersion.objects.filter(
        dataset__owner=owner,
        status=DatasetVersion.Status.READY,
        pk=Subquery(newest.values("pk")[:1]),
    ).select_related("dataset")


ENCODING_NAMES = {
    "utf-8": "UTF-8", "cp949": "CP949 (EUC-KR)", "utf-16": "UTF-16", "utf-16-le": "UTF-16 LE",
    "utf-16-be": "UTF-16 BE", "utf-32": "UTF-32", "johab": "Johab", "shift_jis": "Shift_JIS",
    "gb18030": "GB18030", "big5": "Big5", "cp1252": "Windows-1252",
}  # fmt: skip
DELIMITER_NAMES = {
    ",": gettext_lazy("쉼표(,)"), ";": gettext_lazy("쌍반점(;)"),
    "\t": gettext_lazy("탭"), "|": gettext_lazy("세로줄(|)"),
}  # fmt: skip
FILE_FIELDS = ("encoding", "delimiter", "sheet", "has_header")
BY_ITSELF = gettext_lazy("알아서 고르기")


class LayoutForm(forms.Form):
    """What a file's owner may say over the reader's own recognition: see datasets/choices.py."""

    MAIN = {"prompt": gettext_lazy("질문이 있는 열"), "answer": gettext_lazy("답변이 있는 열")}
    MORE = {
        "system": gettext_lazy("시스템 프롬프트"), "conversation": gettext_lazy("대화 번호"),
        "order": gettext_lazy("차례"), "role": gettext_lazy("말한 사람"), "content": gettext_lazy("한 말"),
    }  # fmt: skip
    TEMPLATES = {
        "prompt_template": gettext_lazy("질문을 여러 열로 만들기"),
        "answer_template": gettext_lazy("답변을 여러 열로 만들기"),
    }

    def __init__(self, layout: dict, chosen: dict, data: dict | None = None) -> None:
        self.layout = layout
        self.columns = layout.get("columns") or []
        self.head = layout.get("head") or []
        self.guess = {} if layout.get("mapping") else self._guessed()
        recognised = chosen.get("mapping") or layout.get("mapping") or self.guess
        super().__init__(data, initial={**chosen, **self._shown(recognised)}, auto_id="layout_%s")
        names = [(name, name) for name in dict.fromkeys(self.columns) if name]
        for part, label in {**self.MAIN, **self.MORE}.items():
            none = gettext_lazy("고르지 않음")
            choices = [("", none), *names]
            self.fields[part] = forms.ChoiceField(label=label, choices=choices, required=False)
        for name, label in self.TEMPLATES.items():
            self.fields[name] = forms.CharField(label=label, max_length=2000, required=False)
        self._add_file_fields(layout)

    def _guessed(self) -> dict:
        """Propose the two columns with the longest text, in their order, where none was recognised."""
        lengths = [
            (sum(len(row[at]) for row in self.head if at < len(row)), at)
            for at, name in enumerate(self.columns)
            if name
        ]
        longest = sorted(at for _length, at in sorted(lengths, reverse=True)[:2])
        return dict(zip(self.MAIN, (self.columns[at] for at in longest), strict=False))

    def _shown(self, mapping: dict) -> dict:
        """Tell columns from templates."""
        return {
            part if said in self.columns or part not in self.MAIN else f"{part}_template": said
            for part, said in mapping.items()
        }

    def _add_file_fields(self, layout: dict) -> None:
        kind = layout.get("kind")
        if kind in ("table", "json"):
            offered = [("", BY_ITSELF), *ENCODING_NAMES.items()]
            self._add("encoding", gettext_lazy("글자 인코딩"), offered)
        if kind == "table":
            self._add(
                "delimiter",
                gettext_lazy("칸을 나누는 글자"),
                [("", BY_ITSELF), *DELIMITER_NAMES.items()],
            )
        if kind == "sheet":
            sheets = [(name, name) for name in layout.get("sheets") or []]
            self._add("sheet", gettext_lazy("시트"), [("", BY_ITSELF), *sheets])
            self.initial.setdefault("sheet", layout.get("sheet", ""))
        if kind in ("table", "sheet"):
            first = [
                ("", BY_ITSELF),
                ("yes", gettext_lazy("열 이름")),
                ("no", gettext_lazy("데이터")),
            ]
            self._add("has_header", gettext_lazy("첫 줄"), first)
            said = self.initial.get("has_header")
            self.initial["has_header"] = {True: "yes", False: "no"}.get(said, "")

    def _add(self, name: str, label: object, choices: list) -> None:
        self.fields[name] = forms.ChoiceField(label=label, choices=choices, required=False)

    @property
    def main_parts(self) -> list:
        return [self[name] for name in self.MAIN]

    @property
    def more_parts(self) -> list:
        return [self[name] for name in (*self.MORE, *self.TEMPLATES)]

    @property
    def example(self) -> str:
        """A template of the file's own first columns."""
        named = [name for name in self.columns if name]
        return " ".join(f"{{{name}}}" for name in named[:2])

    @property
    def has_more(self) -> bool:
        return any(self[name].value() for name in (*self.MORE, *self.TEMPLATES))

    @property
    def file_fields(self) -> list:
        return [self[name] for name in FILE_FIELDS if name in self.fields]

    def choices(self) -> dict:
        """Return what was chosen, as Choices takes it."""
        said = self.cleaned_data
        mapping = {part: said[part] for part in (*self.MAIN, *self.MORE) if said.get(part)}
        if "content" in mapping:  # one turn a row: the columns proposed for pairs are not meant
            mapping = {part: name for part, name in mapping.items() if self.guess.get(part) != name}
        for part in self.MAIN:
            if template := said.get(f"{part}_template"):
                mapping[part] = template
        found = {name: said[name] for name in ("encoding", "delimiter", "sheet") if said.get(name)}
        if said.get("has_header"):
            found["has_header"] = said["has_header"] == "yes"
        is_other_table = any(
            found.get(name) not in (None, self.layout.get(name)) for name in FILE_FIELDS
        )
        if mapping and mapping != (self.guess if is_other_table else self.layout.get("mapping")):
            found["mapping"] = mapping
        return found


class SplitForm(forms.Form):
    """Rows to be drawn into a dataset of their own."""

    count = forms.IntegerField(
        label=gettext_lazy("나눌 예제 수"),
        min_value=1,
        help_text=gettext_lazy("무작위로 골라 옮깁니다. 10%쯤이 알맞습니다."),
        error_messages={"required": gettext_lazy("수를 입력하세요.")},
    )
    name = forms.CharField(
        label=gettext_lazy("새 데이터의 이름"),
        max_length=200,
        error_messages={"required": gettext_lazy("이름을 입력하세요.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, dataset: Dataset, data: dict | None = None) -> None:
        self.total = dataset.versions.order_by("-number")[0].example_count
        name = _("{name} (검증)").format(name=dataset.name)
        super().__init__(data, initial={"count": max(1, self.total // 10), "name": name})

    def clean_count(self) -> int:
        count = self.cleaned_data["count"]
        if count >= self.total:
            most = max(0, self.total - 1)
            raise ValidationError(_("1부터 {most}까지 입력하세요.").format(most=most))
        return count


class MergeForm(forms.Form):
    """Datasets whose rows go into a new one, the oldest first."""

    parts = forms.ModelMultipleChoiceField(
        label=gettext_lazy("합칠 데이터"),
        queryset=Dataset.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": gettext_lazy("둘 이상 고르세요."),
            "invalid_choice": gettext_lazy("고른 데이터를 찾을 수 없습니다. 다시 선택하세요."),
            "invalid_pk_value": gettext_lazy("고른 데이터를 찾을 수 없습니다. 다시 선택하세요."),
        },
    )
    name = forms.CharField(
        label=gettext_lazy("새 데이터의 이름"),
        max_length=200,
        error_messages={"required": gettext_lazy("이름을 입력하세요.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, own: QuerySet[Dataset], data: dict | None = None) -> None:
        super().__init__(data)
        self.fields["parts"].queryset = own.filter(versions__status="ready").distinct()

    def clean_parts(self) -> list[Dataset]:
        found = list(self.cleaned_data["parts"].order_by("created_at"))
        if len(found) < 2:
            raise ValidationError(_("둘 이상 고르세요."))
        return found


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
