"""Forms of data: what a page may send about a file, how it is read, and its parts."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from studio.forms import EMPTY_FILE
from studio.models import User
from training import wording
from training.datasets import arrivals, editing, room, versions
from training.errors import UserError
from training.models import Dataset, DatasetVersion


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
        return arrivals.take(self.owner, self.cleaned_data["arrival"])


class UrlForm(forms.Form):
    url = forms.CharField(
        label=gettext_lazy("URL로부터 JSONL 파일을 업로드"),
        max_length=2000,
        error_messages={"required": gettext_lazy("주소를 입력하세요.")},
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
    )

    def __init__(self, data: dict | None = None) -> None:
        super().__init__(data)
        if self.is_bound:  # shown again only where it was refused
            self.fields["url"].widget.attrs["autofocus"] = True


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
        self.chosen = chosen.get("mapping") or {}
        recognised = self.chosen or layout.get("mapping") or self.guess
        self.history = recognised.get("history", "")
        """The one part that has no field: it stays as it is."""
        super().__init__(data, initial={**chosen, **self._shown(recognised)}, auto_id="layout_%s")
        names = [(name, name) for name in dict.fromkeys(self.columns) if name]
        for part, label in {**self.MAIN, **self.MORE}.items():
            none = gettext_lazy("고르지 않음")
            choices = [("", none), *names]
            self.fields[part] = forms.ChoiceField(label=label, choices=choices, required=False)
        for name, label in self.TEMPLATES.items():
            self.fields[name] = forms.CharField(
                label=label,
                max_length=2000,
                required=False,
                strip=False,  # blank lines between columns are meant
                widget=forms.Textarea(attrs={"rows": 3}),
            )
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
        found = {name: said[name] for name in ("encoding", "delimiter", "sheet") if said.get(name)}
        if said.get("has_header"):
            found["has_header"] = said["has_header"] == "yes"
        is_other_table = any(
            found.get(name) not in (None, self.layout.get(name)) for name in FILE_FIELDS
        )
        if mapping := self._mapping(is_other_table):
            found["mapping"] = mapping
        return found

    def _mapping(self, is_other_table: bool) -> dict:
        """Return the mapping that was chosen: the one before, unless a field of it was changed."""
        fields = (*self.MAIN, *self.MORE, *self.TEMPLATES)
        said = {name: self.cleaned_data[name].replace("\r\n", "\n") for name in fields}
        said = {name: value for name, value in said.items() if value.strip()}
        shown = {name: self.initial[name] for name in fields if self.initial.get(name)}
        if said == shown and not (self.guess and not self.chosen and not is_other_table):
            return self.chosen
        if "content" in said:  # one turn a row: the columns proposed for pairs are not meant
            said = {part: name for part, name in said.items() if self.guess.get(part) != name}
        templates = {
            part: said[f"{part}_template"] for part in self.MAIN if said.get(f"{part}_template")
        }
        mapping = {
            part: said[part] for part in (*self.MAIN, *self.MORE) if part in said
        } | templates
        return mapping | ({"history": self.history} if self.history and "prompt" in mapping else {})


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
        self.fields["parts"].label_from_instance = self.told

    @staticmethod
    def told(dataset: Dataset) -> str:
        """Tell datasets of one name apart."""
        words = _("{name} · 예제 {count}개 · {moment}")
        count = f"{editing.newest(dataset).example_count:,}"
        made = timezone.localtime(dataset.created_at).strftime("%Y-%m-%d %H:%M")
        return words.format(name=dataset.name, count=count, moment=made)

    def clean_parts(self) -> list[Dataset]:
        found = list(self.cleaned_data["parts"].order_by("created_at"))
        if len(found) < 2:
            raise ValidationError(_("둘 이상 고르세요."))
        return found


class DatasetNameForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("데이터 이름"),
        max_length=200,
        error_messages={"required": gettext_lazy("이름을 입력하세요.")},
    )
