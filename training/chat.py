"""The one renderer: messages go in, token ids and labels come out, for counting, training,
evaluation and talking alike. Knows `tokenizers` and template.py; neither Django nor torch.

A conversation is cut into pieces at the borders of the assistant's answers and each piece is
tokenised by itself, in training and in talking: so the two can never drift apart.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

from tokenizers import Tokenizer

from training import template
from training.errors import UserError

IGNORED = -100
"""Label of a token that is not trained (torch's cross entropy skips it)."""

MESSAGE_CHARACTERS = 200
"""What a message costs a template beside its content, in the measure of the content."""

OWN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}\n\n"
    "{% elif message.role == 'user' %}### 질문\n{{ message.content }}\n\n### 답변\n"
    "{% else %}{{ message.content }}{{ eos_token }}\n\n{% endif %}{% endfor %}"
)
"""For a base that brings no chat template."""

FILES = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json",
    "generation_config.json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    """system, user or assistant."""
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    messages: tuple[Message, ...]

    def letters(self) -> int:
        """Return how many code points its contents have."""
        return sum(len(message.content) for message in self.messages)

    def as_dict(self) -> dict:
        return {"messages": [{"role": m.role, "content": m.content} for m in self.messages]}


@dataclass(frozen=True, slots=True)
class Encoded:
    ids: list[int]
    labels: list[int]
    """As long as `ids`; IGNORED where the token is not trained."""

    def cut(self, max_length: int) -> "Encoded":
        return Encoded(self.ids[:max_length], self.labels[:max_length])

    def answers(self) -> Iterator[tuple[int, int]]:
        """Yield where each stretch of trained tokens begins and ends."""
        end, length = 0, len(self.labels)
        while end < length:
            start = next((i for i in range(end, length) if self.labels[i] != IGNORED), length)
            try:
                end = self.labels.index(IGNORED, start)
            except ValueError:
                end = length
            if start < end:
                yield start, end

    @property
    def first_label(self) -> int | None:
        """Where the first token lies that is trained: not the very first of all, which has nothing
        before it to be told from."""
        return next((max(start, 1) for start, end in self.answers() if end > 1), None)


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    is_answer: bool


def read_json(path: Path) -> dict:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


class Renderer:
    """Chat template and tokenizer of one model folder."""

    def __init__(self, folder: Path) -> None:
        """Raises: UserError `tokenizer_unreadable`, `template_unreadable`, `template_unsupported`
        or `template_too_costly`."""
        self.folder = folder
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises plain Exception
            raise UserError("tokenizer_unreadable", folder=folder.name) from error
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.config = read_json(folder / "config.json")
        self.tokenizer_config = read_json(folder / "tokenizer_config.json")
        self.bos_token = self._special("bos_token")
        self.eos_token = self._special("eos_token")
        try:
            self.template = template.Template(self.template_source)
        except Exception as error:
            raise self._template_error(error, "template_unreadable") from error

    @classmethod
    def of(cls, folder: Path) -> "Renderer":
        """Return the renderer of a folder, kept until one of its files changes."""
        paths = [folder / name for name in FILES]
        changed = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)
        return _kept_renderer(folder, changed)

    def _special(self, name: str) -> str:
        value = self.tokenizer_config.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if value and isinstance(value, str):
            return value
        identity = self._configured_ids(name.replace("_token", "_token_id"))
        return (self.tokenizer.id_to_token(identity[0]) if identity else None) or ""

    def _configured_ids(self, key: str) -> list[int]:
        """Return the ids of the model's config that are ids of its tokenizer."""
        known = range(self.tokenizer.get_vocab_size())
        for source in (read_json(self.folder / "generation_config.json"), self.config):
            value = source.get(key)
            if value is not None:
                values = value if isinstance(value, list) else [value]
                return [id for id in values if isinstance(id, int) and id in known]
        return []

    @cached_property
    def has_own_template(self) -> bool:
        return self.template_source != OWN_TEMPLATE

    @cached_property
    def template_source(self) -> str:
        path = self.folder / "chat_template.jinja"
        if path.exists():
            return path.read_text("utf-8")  # its size is the gate's
        found = self.tokenizer_config.get("chat_template")
        if isinstance(found, list):
            named = {entry["name"]: entry["template"] for entry in found}
            found = named.get("default")
        if found is not None and not isinstance(found, str):
            raise TypeError("chat_template is no text")
        return found or OWN_TEMPLATE

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer: the configured end-of-sequence ids and the template's own.

        Raises: UserError `template_without_answer` where a template drops what is said, and those of
        `render`.
        """
        ids = set(self._configured_ids("eos_token_id"))
        if (eos := self.tokenizer.token_to_id(self.eos_token)) is not None:
            ids.add(eos)
        pieces = self._pieces([Message("user", "?"), Message("assistant", "!")])
        if not pieces or "!" not in (answer := pieces[-1].text):
            raise UserError("template_without_answer", folder=self.folder.name)
        special = self.tokenizer.get_added_tokens_decoder()
        ids.update(id for id, token in special.items() if token.special and token.content in answer)
        return frozenset(ids)

    @cached_property
    def context_length(self) -> int:
        """In tokens; an adapter's folder has no model config, so its tokenizer's says it."""
        text = self.config.get("text_config") or self.config
        declared = text.get("max_position_embeddings")
        declared = declared or self.tokenizer_config.get("model_max_length")
        # tokenizers without a limit of their own write 10**30
        return int(declared) if declared and declared < 10**9 else 2048

    def render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        """Raises: UserError `template_refused` with the template's own reason,
        `template_unsupported` or `template_too_costly`."""
        values = {
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            "enable_thinking": False,
        }
        characters = sum(len(m.content) + MESSAGE_CHARACTERS for m in messages)
        try:
            return self.template.render(values, characters)
        except Exception as error:  # a template is code and may raise anything
            raise self._template_error(error, "template_refused") from error

    def _template_error(self, error: Exception, otherwise: str) -> UserError:
        folder, reason = self.folder.name, str(error)[:200]
        if isinstance(error, template.TooCostly):
            return UserError("template_too_costly", folder=folder)
        if isinstance(error, template.Unsupported):
            return UserError("template_unsupported", folder=folder, reason=reason)
        return UserError(otherwise, folder=folder, reason=reason)

    def _pieces(self, messages: Sequence[Message], generating: bool = False) -> list[Piece]:
        """Cut the rendered conversation before and after each answer.

        A template that rewrites its history (drops earlier reasoning, say) is not a prefix of
        itself; then only the last answer is told apart.
        """
        answers = [i for i, message in enumerate(messages) if message.role == "assistant"]
        whole = self.render(messages, add_generation_prompt=generating)
        ends = []
        for i in answers:
            before = self.render(messages[:i], add_generation_prompt=True)
            after = whole
            if generating or i < len(messages) - 1:
                after = self.render(messages[: i + 1], add_generation_prompt=False)
            if whole.startswith(before) and whole.startswith(after) and len(before) <= len(after):
                ends += [len(before), len(after)]
            elif i == answers[-1] and not generating:
                raise UserError("template_not_a_prefix", folder=self.folder.name)
        cuts = [0, *ends, len(whole)]
        return [
            Piece(whole[start:end], is_answer=number % 2 == 1)
            for number, (start, end) in enumerate(pairwise(cuts))
            if end > start
        ]

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids after which the model's next answer begins."""
        pieces = self._pieces(messages, generating=True)
        return [id for ids in self._tokenise(piece.text for piece in pieces) for id in ids]

    def encode(self, example: Example) -> Encoded:
        return self.encode_many([example])[0]

    def encode_many(self, examples: Sequence[Example]) -> list[Encoded]:
        """Return ids and labels of many examples; much faster than one by one."""
        pieces = [self._pieces(example.messages) for example in examples]
        ids = iter(self._tokenise(piece.text for group in pieces for piece in group))
        return [self._join([(piece, next(ids)) for piece in group]) for group in pieces]

    def count_tokens(self, texts: Iterable[str]) -> int:
        """Return how many tokens texts have in all, each by itself and without a template."""
        return sum(map(len, self._tokenise(texts)))

    def _tokenise(self, texts: Iterable[str]) -> list[list[int]]:
        batch = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in batch]

    def _join(self, pieces: list[tuple[Piece, list[int]]]) -> Encoded:
        ids: list[int] = []
        labels: list[int] = []
        for piece, piece_ids in pieces:
            trained = self._trained_count(piece_ids) if piece.is_answer else 0
            if piece.is_answer and not trained and self.stop_ids:
                piece_ids = [*piece_ids, min(self.stop_ids)]
                trained = len(piece_ids)
            ids += piece_ids
            labels += piece_ids[:trained] + [IGNORED] * (len(piece_ids) - trained)
        last = max((i for i, label in enumerate(labels) if label != IGNORED), default=-1)
        return Encoded(ids[: last + 1], labels[: last + 1]) if last >= 0 else Encoded(ids, labels)

    def _trained_count(self, ids: list[int]) -> int:
        """Count the ids of an answer up to and with its last stop token; 0 when it has none."""
        for i in range(len(ids) - 1, -1, -1):
            if ids[i] in self.stop_ids:
                return i + 1
        return 0

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)


@lru_cache(maxsize=8)
def _kept_renderer(folder: Path, changed: tuple[int, ...]) -> Renderer:
    return Renderer(folder)
