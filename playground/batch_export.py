"""A batch's questions and answers as a file to take home: XLSX or CSV. No cell can become a formula."""

import csv
import io
from collections.abc import Iterator

from django.utils.translation import gettext as _

from playground.models import Batch, BatchQuestion
from training import wording
from training.datasets import export
from training.datasets.formulas import guarded
from training.errors import UserError

WIDTHS = (8, 50, 50, 50, 12, 10, 12, 40)
"""Letters in a line of each column."""


def heads() -> tuple[str, ...]:
    return (
        _("번호"), _("질문"), _("바라는 답변"), _("AI가 생성한 답변"), _("글자까지 같음"),
        _("토큰"), _("초"), _("문제"),
    )  # fmt: skip


def rows(batch: Batch) -> Iterator[tuple]:
    yield heads()
    for row in batch.questions.iterator():
        same = {True: _("예"), False: _("아니요"), None: ""}[row.is_same]
        usage = row.usage
        yield (
            row.position, _asked(row), row.expected, row.answer, same,
            usage.get("completion_tokens"), usage.get("seconds"), _problem(row),
        )  # fmt: skip


def _asked(row: BatchQuestion) -> str:
    """Return a question; after what was said before it, each with who said it."""
    if len(row.messages) == 1:
        return row.asked
    names = {"system": _("시스템 프롬프트"), "user": _("질문"), "assistant": _("답변")}
    return "\n\n".join(f"[{names[one['role']]}]\n{one['content']}" for one in row.messages)


def _problem(row: BatchQuestion) -> str:
    if not row.error:
        return ""
    error = UserError.of(row.error)
    words = wording.say(error.code, error.params)
    return f"{words.what} {words.cure}"


def facts(batch: Batch) -> Iterator[tuple]:
    """Yield what the second sheet tells of how the answers were made."""
    yield (_("이 파일의 답변은 AI가 생성했습니다. 쓰기 전에 사람이 확인하세요."), "")
    yield (_("질문이 있던 곳"), batch.name)
    yield (_("모델"), batch.model_name)
    yield (_("시스템 프롬프트"), batch.system_prompt)
    yield (_("온도(창의성)"), batch.parameters.get("temperature"))
    yield (_("최대 길이"), batch.parameters.get("max_tokens"))
    yield ("top-p", batch.parameters.get("top_p"))
    yield (_("질문 수"), batch.total)
    yield (_("답한 질문"), batch.done_count - batch.error_count)
    if batch.expected_count:
        yield (_("바라는 답변이 있는 질문"), batch.expected_count)
        yield (_("글자까지 같은 답변"), batch.same_count)


def as_xlsx(batch: Batch) -> Iterator[bytes]:
    """Raises: UserError `cell_too_long`."""
    return export.workbook(
        [
            export.Sheet(_("답변"), rows(batch), WIDTHS),
            export.Sheet(_("설명"), facts(batch), (40, 60)),
        ]
    )


def as_csv(batch: Batch) -> Iterator[bytes]:
    """Yield UTF-8 with a mark that Excel needs."""
    out = io.StringIO()
    writer = csv.writer(out)
    for row in rows(batch):
        writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in row])
    yield b"\xef\xbb\xbf" + out.getvalue().encode()


def stem(batch: Batch) -> str:
    """Return what a file is called, without its ending."""
    name, dot, ending = batch.name.rpartition(".")
    name = name if dot and len(ending) < 6 else batch.name
    return f"{name} - {batch.model_name}".replace("/", "·")


FORMATS = {
    "xlsx": (as_xlsx, export.FORMATS["xlsx"][1]),
    "csv": (as_csv, export.FORMATS["csv"][1]),
}
"""File ending -> what makes it, and its media type."""
