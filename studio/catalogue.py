"""Korean sentences of code and templates in, `locale/en` out: `make messages` and set-up's .mo files.

Babel reads Python; templates are turned into something like Python by Django itself first, so
that no GNU gettext is needed. Knows no settings, so that it can run before anything else works.
"""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("studio", "training", "playground", "templates")
KEYWORDS = DEFAULT_KEYWORDS | {
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
}
HEADER = """\
# The sentences of Dadeum. The msgid is the Korean one; `make messages` keeps the list.
msgid ""
msgstr ""
"Language: {language}\\n"
"Plural-Forms: {plural_forms}\\n"
"Content-Type: text/plain; charset=utf-8\\n"

"""
"""Dates would make every two branches clash."""
LINE_WIDTH = 100


def sentences() -> Catalog:
    """Return every sentence that code and templates ask to have translated, untranslated."""
    found = Catalog()
    for path in sources():
        place = (path.relative_to(ROOT).as_posix(), 1)
        for _line, text, comments, context in extract("python", as_python(path), KEYWORDS):
            found.add(text, locations=[place], auto_comments=comments, context=context)
    return found


def sources() -> Iterator[Path]:
    """Yield the files that may hold sentences, in a fixed order."""
    for room in ROOMS:
        found = (path for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".html"))
        yield from sorted(path for path in found if "migrations" not in path.parts)


def as_python(path: Path) -> io.BytesIO:
    """Return a source as the extractor can read it."""
    source = path.read_text("utf-8")
    if path.suffix == ".html":
        # what is no call stands as rows of X, whose indentation means nothing
        lines = templatize(source, origin=str(path)).splitlines()
        source = "\n".join(line.lstrip() for line in lines)
    return io.BytesIO(source.encode())


def po_files() -> list[Path]:
    return sorted((ROOT / "locale").glob("*/LC_MESSAGES/django.po"))


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def write(path: Path, catalogue: Catalog) -> None:
    head = HEADER.format(language=catalogue.locale, plural_forms=catalogue.plural_forms)
    path.write_bytes(head.encode() + written(catalogue))


def written(catalogue: Catalog) -> bytes:
    """Return the sentences as a .po file has them, without its head."""
    out = io.BytesIO()
    write_po(
        out, catalogue, width=LINE_WIDTH, sort_by_file=True, include_lineno=False,
        omit_header=True, ignore_obsolete=True,
    )  # fmt: skip
    return out.getvalue()


def update(path: Path) -> None:
    """Add what is new, empty, and drop what is gone; what stands translated stays as it is."""
    known = read(path)
    known.update(sentences(), no_fuzzy_matching=True)
    write(path, known)


def compile_to_mo(path: Path) -> None:
    """Write the .mo that Django reads, also where others do the same at once."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        write_mo(file, read(path))
    part.replace(path.with_suffix(".mo"))


def compile_stale() -> None:
    """Compile each catalogue whose .mo is missing or older than it."""
    for path in po_files():
        made = path.with_suffix(".mo")
        if not made.exists() or made.stat().st_mtime < path.stat().st_mtime:
            compile_to_mo(path)


def untranslated(known: Catalog, asked: Catalog) -> Catalog:
    """Return the sentences that have no translation that counts."""
    missing = Catalog()
    for message in asked:
        if message.id and not _is_done(known.get(message.id, message.context)):
            missing[message.id] = message
    return missing


def _is_done(message: Message | None) -> bool:
    if message is None or message.fuzzy:
        return False
    return all(message.string if isinstance(message.string, tuple) else (message.string,))


def main() -> None:
    for path in po_files() if "update" in sys.argv[1:] else ():
        update(path)
        missing = len(untranslated(read(path), sentences()))
        print(f"{path.relative_to(ROOT)}: {missing} to translate")
    compile_stale()


if __name__ == "__main__":
    main()
