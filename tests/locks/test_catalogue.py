"""Every sentence has its English, and whatever a person may read is a sentence of the catalogue."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message

from studio import catalogue
from tests.locks.languages import HANGUL, foreign

ENGLISH = catalogue.ROOT / "locale" / "en" / "LC_MESSAGES" / "django.po"
ELEMENT = re.compile(r"<[^>]*>")
PLACE = re.compile(r"%\(\w+\)s|\{\{|\}\}|\{\w*\}|__\w+?__")
CALLS = {"_", "gettext", "gettext_lazy", "ngettext", "pgettext", "pgettext_lazy", "translation"}
SPEAKS_KOREAN = {
    # the terminal's words stay Korean, as the Makefile's
    "studio/frontend.py", "studio/management/commands/up.py", "studio/supervisor.py",
    "training/lm/builtin.py", "training/management/commands/finetune.py",
    # what people's files say, the sample's own data, the template of bases that have none
    "training/datasets/names.py", "training/datasets/questions.py", "training/datasets/shapes.py", "training/samples.py", "training/chat.py",
    # what texts are looked through for
    "training/datasets/check/features.py", "training/datasets/check/patterns.py",
    "training/datasets/judges.py", "training/datasets/personal.py", "training/datasets/vicinity.py",
    # Korean numbers and dates, and the name of the language
    "studio/templatetags/studio.py", "studio/settings.py",
}  # fmt: skip
"""Files that may hold Korean outside of the catalogue."""
COUNTERS = {"번", "회", "개", "토큰"}
"""What may stand behind a number that somebody typed (training/recipe.py)."""
TRANSLATED = re.compile(
    r"\{#.*?#\}|\{%\s*blocktranslate.*?endblocktranslate\s*%\}"
    r"|\{%\s*translate\s+(?P<quote>[\"']).*?(?P=quote).*?%\}|_\(\"[^\"]*\"\)"
    r"|<(\w+)[^>]*\blang=\"ko\"[^>]*>[^<]*",
    re.DOTALL,
)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
ENGLISH_WORDS = re.compile(r"[\"'`][A-Z][a-z]+(?: [a-z]+)+")


@pytest.fixture(scope="module")
def asked() -> Catalog:
    return catalogue.sentences()


@pytest.fixture(scope="module")
def english() -> Catalog:
    return catalogue.read(ENGLISH)


def said(message: Message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (message.string,)


def korean(message: Message) -> tuple[str, ...]:
    return message.id if isinstance(message.id, tuple) else (message.id,)


def faults(english: Catalog, are_wrong) -> list[str]:
    return [
        f"{message.id!r}: {message.string!r}"
        for message in english if message.id and are_wrong(message)
    ]  # fmt: skip


def test_every_sentence_has_its_english(asked, english):
    missing = catalogue.untranslated(english, asked)
    assert not len(missing), (
        f"{len(missing)} sentences have no English. `make messages` writes them into "
        f"{ENGLISH.relative_to(catalogue.ROOT)}; then fill in their msgstr:\n\n"
        + catalogue.written(missing).decode()
    )


def test_the_catalogue_keeps_nothing_that_nobody_says(asked, english):
    gone = [message.id for message in english if message.id and not asked.get(message.id)]
    assert not gone and not english.obsolete, f"`make messages` drops these: {gone}"


def test_english_fills_the_same_places(english):
    def differ(message: Message) -> bool:
        places = sorted(PLACE.findall(korean(message)[0]))
        return any(sorted(PLACE.findall(one)) != places for one in said(message))

    assert not faults(english, differ)


def test_english_has_no_korean_and_nothing_that_would_end_an_attribute(english):
    def is_wrong(message: Message) -> bool:
        given = "".join(korean(message))
        return any(
            HANGUL.search(one) or any(mark in one and mark not in given for mark in '"<>&')
            for one in said(message)
        )

    assert not faults(english, is_wrong)


def test_korean_says_학습_and_only_words_that_are_used_in_korean(asked):
    for message in asked:
        for sentence in korean(message) if message.id else ():
            assert "훈련" not in sentence
            assert not foreign(PLACE.sub(" ", ELEMENT.sub("", sentence))), sentence


# --- what stands outside of the catalogue --------------------------------------------------------
def rooms(suffix: str) -> list[Path]:
    return [path for path in catalogue.sources() if path.suffix == suffix]


def loose_strings(path: Path) -> Iterator[str]:
    """Yield the Korean strings of a Python file that are no documentation and go through no
    gettext."""
    tree, excused = ast.parse(path.read_text("utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            excused.add(node.value)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in CALLS:
            excused.update(part for given in node.args for part in ast.walk(given))
    for node in ast.walk(tree):
        text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and node not in excused and HANGUL.search(text):
            yield text


def test_no_python_speaks_korean_past_the_catalogue():
    loose = {
        path.relative_to(catalogue.ROOT).as_posix(): found
        for path in rooms(".py") if (found := set(loose_strings(path)) - COUNTERS)
    }  # fmt: skip
    assert not {name: found for name, found in loose.items() if name not in SPEAKS_KOREAN}
    assert set(loose) == SPEAKS_KOREAN, "SPEAKS_KOREAN names files that need it no more."


def test_no_template_speaks_korean_past_the_catalogue():
    for path in rooms(".html"):
        rest = TRANSLATED.sub("", path.read_text("utf-8"))
        assert not HANGUL.search(rest), f"{path}: {HANGUL.search(rest)}"


def test_scripts_have_all_their_words_from_the_page():
    for path in (catalogue.ROOT / "static" / "js").glob("*.js"):
        source = COMMENT.sub("", path.read_text("utf-8"))
        assert not HANGUL.search(source) and not ENGLISH_WORDS.search(source), path


def test_the_extractor_reads_what_it_is_there_to_read(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "{% load i18n %}\n  <p title=\"{% translate '제목' %}\">it's</p>\n"
        "{% blocktranslate with name=user %}{{ name }} 님{% endblocktranslate %}\n"
        '    {{ x|default:_("없음") }}\n{% blocktranslate count n=n %}하나{% plural %}{{ n }}개{% endblocktranslate %}'
    )
    found = catalogue.extract("python", catalogue.as_python(page), catalogue.KEYWORDS)
    assert [text for _line, text, _comments, _context in found] == [
        "제목", "%(name)s 님", "없음", ("하나", "%(n)s개")
    ]  # fmt: skip


def test_what_is_new_is_added_empty_and_what_is_done_stays(tmp_path, monkeypatch):
    (tmp_path / "templates").mkdir()
    page = tmp_path / "templates" / "page.html"
    page.write_text("{% translate '하나' %}{% translate '둘' %}")
    po = tmp_path / "locale" / "en" / "LC_MESSAGES" / "django.po"
    po.parent.mkdir(parents=True)
    po.write_text('msgid "하나"\nmsgstr "one"\n\nmsgid "옛말"\nmsgstr "gone"\n')
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    catalogue.update(po)
    once = po.read_text()
    assert 'msgstr "one"' in once and 'msgid "둘"\nmsgstr ""' in once and "옛말" not in once
    missing = catalogue.untranslated(catalogue.read(po), catalogue.sentences())
    assert catalogue.written(missing).decode().endswith('msgid "둘"\nmsgstr ""\n\n')
    catalogue.update(po)
    assert po.read_text() == once
    catalogue.compile_stale()
    assert po.with_suffix(".mo").exists() and not list(tmp_path.rglob("*.part"))
