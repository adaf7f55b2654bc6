"""Which words belong to which language, and what a person reads of a page."""

import re
from html.parser import HTMLParser

HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_./][A-Za-z0-9]+)*")
NO_WORDS = re.compile(r"https?://\S*|/v1/\S*|/openapi.json|dadeum-[\w-]*|__\w+?__")
"""Addresses, the first letters of keys, and places that a script fills."""
TERMS = frozenset(
    """
    LoRA PEFT Full API REST UI AI URL HTML Markdown JSON JSONL CSV TSV XLS XLSX Parquet DRM HWP UTF-8 CP949 BOM B KB MB GB
    safetensors transformers config.json tokenizer.json chat_template.jinja jsonl overflow id
    prompt completion messages system user assistant role content history weight C_ID T_ID top-p
    Authorization Bearer GET POST DELETE Enter Shift
    curl Python OpenAI base_url model true false type text DADEUM_API_KEY
    DADEUM_FETCH_ALLOW DADEUM_UPLOAD_LIMIT_MB DADEUM_DATA_QUOTA_GB DADEUM_HUB DADEUM_MODEL_LIMIT_GB
    DADEUM_PROCESSES RAM GPU HF_TOKEN HTTPS_PROXY logs/hub.log DADEUM_ENGINES DADEUM_ENGINE_KEY vLLM
    """.split()  # noqa: SIM905 - read as prose
)
"""English words that Korean texts use as they are: names of formats, methods, fields and keys."""
CODE = {"script", "style", "code", "pre"}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
READ = {"aria-label", "title", "placeholder", "alt", "label"}
"""Attributes that are read to people; what has blanks in data-* is handed to a script to be said."""


def foreign(text: str, also: frozenset[str] = frozenset()) -> list[str]:
    """Return the English words of a Korean text that are no accepted terms."""
    words = WORD.findall(NO_WORDS.sub(" ", text))
    return [word for word in words if word not in TERMS and word not in also]


class Reader(HTMLParser):
    """Notes what stands in a page, each with the language that is declared there."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.within: list[tuple[str, str]] = []
        """The elements that are open, each with its language."""
        self.texts: list[tuple[str, str]] = []
        self.code: list[tuple[str, str]] = []
        self.values: list[tuple[str, str, str]] = []
        """Language, name and value of every attribute."""
        self.feed(html)
        self.close()

    @property
    def language(self) -> str:
        return self.within[-1][1] if self.within else ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        language = found.get("lang") or self.language
        self.values += [(language, name, value) for name, value in found.items()]
        if tag not in VOID:
            self.within.append((tag, language))

    def handle_endtag(self, tag: str) -> None:
        while self.within and self.within.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        is_code = any(tag in CODE for tag, _language in self.within)
        (self.code if is_code else self.texts).append((self.language, data.strip()))

    def korean(self) -> list[str]:
        """Return the Korean of an English page that is not declared as such, wherever it stands."""
        values = [(language, value) for language, _name, value in self.values]
        found = self.texts + self.code + values
        return [text for language, text in found if language != "ko" and HANGUL.search(text)]

    def english(self, also: frozenset[str] = frozenset()) -> list[str]:
        """Return what a person reads as English on a Korean page without it being declared."""
        found = self.texts + [
            (language, value)
            for language, name, value in self.values
            if name in READ or (name.startswith("data-") and " " in value)
        ]
        return [text for language, text in found if language != "en" and foreign(text, also)]
