"""The user guide: the Markdown of docs/ goes in, pages in the reader's language come out.

Links and pictures are written so that they work where the files are read as they are; here they
lead to the studio's own addresses. Knows no request.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from django.conf import settings
from django.templatetags.static import static
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

FOLDER = settings.ROOT / "docs"
LANGUAGES = ("ko", "en")
"""The first one is for readers of any other language."""
INDEX = "README"
PAGES = (
    "start", "data", "method", "model", "training-data", "run", "playground", "improve",
    "data-report", "bases", "api", "admin", "settings", "trouble",
)  # fmt: skip
"""In the order in which a newcomer needs them; each is a file of this name in each language."""
ABOUT = {
    "home": "start", "train": "method", "wizard-method": "method", "wizard-model": "model",
    "wizard": "training-data", "dataset": "data", "dataset-report": "data-report", "model": "run",
    "playground": "playground", "conversation": "playground", "batch": "playground",
    "base": "bases", "key": "api", "people": "admin", "line": "run",
}  # fmt: skip
"""What the name of a route begins with -> the page that tells about it; the longest counts."""
NO_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Section:
    id: str
    title: str


@dataclass(frozen=True)
class Page:
    key: str
    title: str
    html: SafeString
    sections: tuple[Section, ...]

    @property
    def url(self) -> str:
        return address(self.key)


def find(key: str) -> Page | None:
    """Return a page (or the index) in the language in use; None where there is no such page."""
    if key not in (INDEX, *PAGES):
        return None
    path = FOLDER / _language() / f"{key}.md"
    return _read(path, path.stat().st_mtime_ns)


def pages() -> list[Page]:
    return [page for page in map(find, PAGES) if page]


def about(route: str) -> str:
    """Return the key of the page that tells about a route's page, or the index."""
    fits = [start for start in ABOUT if route.startswith(start)]
    return ABOUT[max(fits, key=len)] if fits else INDEX


def address(key: str) -> str:
    return reverse("help") if key == INDEX else reverse("help-page", args=[key])


def _language() -> str:
    spoken = (get_language() or "")[:2]
    return spoken if spoken in LANGUAGES else LANGUAGES[0]


# --- Markdown to HTML -----------------------------------------------------------------------------
def _fence(renderer: object, tokens: Sequence[Token], index: int, *_rest: object) -> str:
    """Write a block of code so that the keyboard can scroll it."""
    return f'<pre class="raw" tabindex="0"><code>{escapeHtml(tokens[index].content)}</code></pre>\n'


def _table_open(*_rest: object) -> str:
    return '<div class="scrolls" tabindex="0"><table class="table">\n'


def _table_close(*_rest: object) -> str:
    return "</table></div>\n"


MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
for name, rule in {
    "fence": _fence, "table_open": _table_open, "table_close": _table_close
}.items():  # fmt: skip
    MARKDOWN.add_render_rule(name, rule)


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Page:
    """Render a file once per state of it (`changed`)."""
    tokens = MARKDOWN.parse(path.read_text("utf-8"))
    title, *sections = list(_name_headings(tokens))
    for token in _every(tokens):
        _settle(token)
    html = MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})
    return Page(path.stem, title.title, mark_safe(html), tuple(sections))  # the text is ours


def _name_headings(tokens: Sequence[Token]) -> Iterator[Section]:
    """Give each heading an id and yield those of the title and the sections."""
    seen: dict[str, int] = {}
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            anchor = anchor_of(inline.content)
            seen[anchor] = seen.get(anchor, -1) + 1
            token.attrs["id"] = f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
            if token.tag in ("h1", "h2"):
                yield Section(str(token.attrs["id"]), "".join(_words(inline)))


def anchor_of(heading: str) -> str:
    """Return the id that sites which show Markdown give a heading."""
    return NO_ANCHOR.sub("", heading.lower()).replace(" ", "-")


def _words(inline: Token) -> Iterator[str]:
    return (child.content for child in inline.children or [])


def _every(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or []


def _settle(token: Token) -> None:
    """Lead a link or a picture to where it is here; no style attributes, for the strict policy."""
    if token.type == "link_open":
        token.attrs["href"] = _here(str(token.attrs["href"]))
    elif token.type == "image":
        token.attrs["src"] = static(f"docs/{Path(str(token.attrs['src'])).name}")
    elif token.attrs.pop("style", None):
        token.attrs["class"] = "number"


def _here(link: str) -> str:
    """Turn `data.md#errors` into the page's address; a part of the same page stays as it is."""
    file, mark, part = link.partition("#")
    return f"{address(file.removesuffix('.md')) if file else ''}{mark}{part}"
