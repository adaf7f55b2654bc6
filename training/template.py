"""The cage of a chat template, which is code that came with a model: Jinja source goes in, a
function from values to text comes out. It runs sandboxed, and all that it does is paid from a
purse of work: a step, a character or an item each costs one. Knows neither models nor messages.
"""

import json
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import reduce, wraps
from itertools import islice
from threading import Lock
from types import BuiltinMethodType
from typing import Any

import jinja2
from jinja2 import filters, nodes, tests
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace

LIMIT_BYTES = 64 * 1024
LIMIT_TAGS = 1_500
"""Of a template's source; the longest in use have some 20,000 characters and 400 tags."""
WORK = 200_000
WORK_PER_CHARACTER = 50
"""Characters of what is rendered: each may be looked at and copied so many times."""
SECONDS = 0.5
"""Of the processor; the clock is read once in CLOCK_WORK."""
CLOCK_WORK = 2_000
COMPARISON_WORK = 200
"""Of two values from outside the template: they may be long."""
CALL_WORK, LIST_WORK = 20, 500
SHORT_EXPRESSION = 40
"""Parts of an expression that can't make more than so many times its longest value."""
MAX_BITS = 4_096
MAX_WIDTH = 999
"""Characters to which one place of a format may be padded."""
MAX_FORMAT = 4_000
WIDE_FORMAT = re.compile(r"\d{4}|\*|\{[^{}]*\{")
"""A place wider than MAX_WIDTH, or as wide as another value says."""
MAX_STRFTIME = 200

SIZED = frozenset((str, list, tuple, dict))
PLAIN = frozenset((str, bool, int, float, type(None)))
FREE_FILTERS = ("abs", "attr", "count", "d", "default", "first", "float", "items", "length")
TEXT_FILTERS = ("capitalize", "lower", "title", "upper", "wordcount")
LIST_FILTERS = (
    "dictsort", "groupby", "last", "list", "map", "max", "min", "reject", "rejectattr", "reverse",
    "select", "selectattr", "sort", "unique",
)  # fmt: skip
"""Filters of Jinja that are kept: all whose result is no longer than what goes in."""
FREE_TESTS = (
    "boolean", "callable", "defined", "divisibleby", "even", "false", "float", "integer", "iterable",
    "mapping", "none", "number", "odd", "sameas", "sequence", "string", "true", "undefined",
)  # fmt: skip
METHODS: dict[type, tuple[str, ...]] = {
    str: (
        "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha",
        "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper",
        "join", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind",
        "rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip",
        "swapcase", "title", "upper",
    ),
    dict: ("copy", "get", "items", "keys", "values"),
    list: ("copy", "count", "index"),
    tuple: ("count", "index"),
}  # fmt: skip
"""Methods of plain values that a template may call; of all other types none."""


class TooCostly(jinja2.TemplateError):
    """The template asked for more work than an honest one needs."""


class Unsupported(jinja2.TemplateError):
    """The template uses something that has no place in one."""


class Template:
    """A compiled template. One thread at a time renders."""

    def __init__(self, source: str) -> None:
        """Raises: Unsupported, TooCostly, jinja2.TemplateError for what is no template."""
        is_long = len(source.encode("utf-8", "replace")) > LIMIT_BYTES
        if is_long or source.count("{{") + source.count("{%") > LIMIT_TAGS:
            raise TooCostly("source")
        self.cage, self.lock = Cage(), Lock()
        try:
            self.compiled = self.cage.from_string(source)
        except jinja2.TemplateAssertionError as error:  # a filter or test that is not there
            raise Unsupported(error.message) from None

    def render(self, values: dict[str, Any], characters: int) -> str:
        """Return the text. `characters` is the size of what is rendered.

        Raises: TooCostly; whatever else the template raises.
        """
        with self.lock:
            self.cage.fill_purse(characters)
            context = self.compiled.new_context(values)
            return self.cage.concat(self.compiled.root_render_func(context))


GROWING = (nodes.Add, nodes.Concat)


class Generator(CodeGenerator):
    """Writes what Jinja writes, and has it paid where steps repeat or values may grow."""

    is_short = False
    """In a short expression that is shown at once: what it makes is paid when it is shown."""

    # --- what repeats ---------------------------------------------------------------------------
    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        if node.test is not None:
            node.test = nodes.And(_payment([node.test]), node.test, lineno=node.lineno)
        self._pay_first(node)
        super().visit_For(node, frame)

    def visit_Macro(self, node: nodes.Macro, frame: Frame) -> None:
        self._pay_first(node)
        super().visit_Macro(node, frame)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Frame) -> None:
        self._pay_first(node)
        super().visit_CallBlock(node, frame)

    @staticmethod
    def _pay_first(node: nodes.For | nodes.Macro | nodes.CallBlock) -> None:
        """Have each turn paid by the length of its body."""
        payment = nodes.ExprStmt(_payment(node.body), lineno=node.lineno)
        node.body.insert(0, payment)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        if any(map(_is_constant, [node.expr, *(operand.expr for operand in node.ops)])):
            super().visit_Compare(node, frame)
        else:
            before = f"(environment.spend({COMPARISON_WORK}) and "
            self._wrap(before, super().visit_Compare, node, frame)

    # --- what grows -----------------------------------------------------------------------------
    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.is_short = sum(1 for _part in node.find_all(nodes.Expr)) <= SHORT_EXPRESSION
        name = self.temporary_identifier()
        self.write(f"({name} if type({name} := ")
        self.shown_as = name

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        name, paid = self.shown_as, ""
        if isinstance(node, GROWING) or next(node.find_all(GROWING), None):
            paid = f" and environment.spend(len({name}))"
        self.write(f") is str{paid} else environment.shown({name}))")
        self.is_short = False

    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:
        if self.is_short:
            super().visit_Add(node, frame)
            return
        parts: list[nodes.Expr] = []
        first: nodes.Expr = node
        while isinstance(first, nodes.Add):
            parts.append(first.right)
            first = first.left
        self._write_call("add", [first, *reversed(parts)], frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        if self.is_short:
            super().visit_Concat(node, frame)
        else:
            self._write_call("glue", node.nodes, frame)

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self._write_made(super().visit_List, node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self._write_made(super().visit_Dict, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        if node.ctx == "load":
            self._write_made(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if isinstance(node.arg, nodes.Slice):
            self._wrap("environment.sliced(", super().visit_Getitem, node, frame)
        else:
            super().visit_Getitem(node, frame)

    def visit_ScopedEvalContextModifier(self, node: nodes.Node, frame: Frame) -> None:
        raise Unsupported("autoescape")

    # --- how it is written ----------------------------------------------------------------------
    def _write_made(self, visit: Callable, node: nodes.Expr, frame: Frame) -> None:
        """Write a list, dict or tuple, paid unless it is a constant."""
        if _is_constant(node):
            visit(node, frame)
        else:
            self._wrap("environment.weighed(", visit, node, frame)

    def _wrap(self, before: str, visit: Callable, node: nodes.Node, frame: Frame) -> None:
        self.write(before)
        visit(node, frame)
        self.write(")")

    def _write_call(self, name: str, parts: Iterable[nodes.Node], frame: Frame) -> None:
        self.write(f"environment.{name}((")
        for part in parts:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


def _payment(body: list) -> nodes.Expr:
    """Return what has the length of a body paid.

    Jinja writes an EnvironmentAttribute as `environment.` and its name; here that is a call.
    """
    length = sum(1 for node in body for _part in node.find_all(nodes.Node))
    return nodes.EnvironmentAttribute(f"spend({length + 1})")


def _is_constant(node: nodes.Expr) -> bool:
    try:
        node.as_const()
    except nodes.Impossible:
        return False
    return True


class Generation(Extension):
    """{% generation %}: marks an answer for other programs; what it encloses stands as it is."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Cage(ImmutableSandboxedEnvironment):
    code_generator_class = Generator
    intercepted_binops = frozenset(("*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, Generation],
        )
        self.fill_purse(0)
        self.concat = self.joined  # type: ignore[assignment,method-assign]
        jinja = filters.FILTERS
        self.filters = {
            **{name: jinja[name] for name in FREE_FILTERS},
            **{name: self.paid(jinja[name], CALL_WORK) for name in TEXT_FILTERS},
            **{name: self.paid(jinja[name], LIST_WORK) for name in LIST_FILTERS},
            "indent": self.indent, "int": _int, "join": self.join, "replace": self.replace,
            "round": _round, "safe": self.shown, "string": self.shown, "tojson": self.to_json,
            "trim": self.trim,
        }  # fmt: skip
        self.tests = {
            name: test if name in FREE_TESTS else self.paid(test, COMPARISON_WORK)
            for name, test in tests.TESTS.items()
        }
        self.globals |= {
            "namespace": Shelf, "raise_exception": _raise_exception, "range": self.numbers,
            "strftime_now": _strftime_now,
        }  # fmt: skip
        del self.globals["lipsum"]

    # --- the purse ------------------------------------------------------------------------------
    def fill_purse(self, characters: int) -> None:
        self.left = WORK + WORK_PER_CHARACTER * characters
        self.next_look = self.left - CLOCK_WORK
        self.deadline = 0.0

    def spend(self, work: int) -> bool:
        """Pay for work that is done or about to be. Raises: TooCostly."""
        self.left -= work
        if self.left < self.next_look:
            self.look_at_clock()
        return True

    def look_at_clock(self) -> None:
        self.deadline = self.deadline or time.thread_time() + SECONDS
        if self.left < 0 or time.thread_time() > self.deadline:
            raise TooCostly("work")
        self.next_look = self.left - CLOCK_WORK

    def must_hold(self, work: int) -> None:
        """Look before something large is made whether there is enough for it."""
        if work > self.left:
            raise TooCostly("work")

    def weighed(self, value: Any) -> Any:
        """Return a value that was made, paid by its size with all that is in it.

        What a list holds twice counts twice: so that no list can be larger to whoever walks
        through it than it was to us.
        """
        if type(value) in PLAIN:
            self.spend(len(value) if type(value) is str else 1)
            return value
        waiting = [value]
        while waiting:
            item = waiting.pop()
            self.spend(len(item) + 1 if isinstance(item, str) else 1)
            if isinstance(item, dict):
                waiting += item.keys()
                waiting += item.values()
            elif isinstance(item, (list, tuple)):
                waiting += item
        return value

    def sliced(self, value: Any) -> Any:
        """Return a slice, paid by its length: it weighs no more than what it was cut from."""
        self.spend(len(value))
        return value

    def paid(self, function: Any, work: int) -> Callable:
        """Return a filter or test that is paid, and what comes out of it too."""

        @wraps(function)  # also keeps what Jinja notes on functions that want its context
        def paying(*args: Any, **kwargs: Any) -> Any:
            self.spend(work)
            return self.weighed(function(*args, **kwargs))

        return paying

    def numbers(self, *bounds: int) -> range:
        found = safe_range(*bounds)
        self.spend(len(found))
        return found

    # --- what makes values grow -----------------------------------------------------------------
    def shown(self, value: Any) -> str:
        """Return a value as text; of a text nothing new is made."""
        if isinstance(value, str):
            return value
        text = str(value)
        self.spend(len(text))
        return text

    def joined(self, parts: Iterable[str]) -> str:
        """Join what was written: of the whole template, a macro or a block."""
        parts, kept = iter(parts), []
        while some := list(islice(parts, CLOCK_WORK)):
            self.spend(sum(map(len, some)))
            kept += some
        return "".join(kept)

    def glue(self, parts: tuple) -> str:
        return self.joined([self.shown(part) for part in parts])

    def add(self, parts: tuple) -> Any:
        """Add from left to right. Raises: TypeError as `+` does."""
        try:
            self.spend(sum(map(len, parts)))
            return "".join(parts)
        except TypeError:  # they are not all texts
            return reduce(lambda left, right: self.weighed(left + right), parts)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%":
            if type(left) is int:
                return left % right
            self.check_format(str(left), "%", right)
        elif operator == "*":
            self.check_product(left, right)
        elif operator == "**" and _bits(left) * abs(right) > MAX_BITS:
            raise TooCostly("number")
        return self.weighed(super().call_binop(context, operator, left, right))

    def check_product(self, left: Any, right: Any) -> None:
        if isinstance(left, int) and not isinstance(right, (int, float)):
            left, right = right, left
        if isinstance(left, (str, list, tuple)) and isinstance(right, int):
            self.spend(COMPARISON_WORK)
            self.must_hold(len(left) * max(right, 0))
        elif _bits(left) + _bits(right) > MAX_BITS:
            raise TooCostly("number")

    def check_format(self, format: str, mark: str, *values: Any) -> None:
        """Refuse a format that pads to a great width, or to one that is a value itself."""
        if len(format) > MAX_FORMAT or WIDE_FORMAT.search(format.replace("{{", "")):
            raise TooCostly("format")
        left = self.left
        self.weighed(values)
        self.must_hold(format.count(mark) * (MAX_WIDTH + left - self.left))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`format` and `format_map` are no plain methods to the sandbox: it hands out its own."""
        sandboxed = super().wrap_str_format(value)
        if sandboxed is None:
            return None

        def formatted(*args: Any, **kwargs: Any) -> str:
            self.check_format(value.__self__, "{", args, kwargs)
            return sandboxed(*args, **kwargs)

        return formatted

    def call(  # type: ignore[override]
        self, context: Context, function: Any, *args: Any,
        _loop_vars: object = None, _block_vars: object = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Call what a template may call: macros, Jinja's own, and METHODS of plain values."""
        if type(function) is BuiltinMethodType:
            return self.call_method(function, args, kwargs)
        self.spend(CALL_WORK)
        for value in (*args, *kwargs.values()):
            self.weighed(value)
        return self.weighed(super().call(context, function, *args, **kwargs))

    def call_method(self, method: Any, args: tuple, kwargs: dict) -> Any:
        owner, name = method.__self__, method.__name__
        if name not in METHODS.get(type(owner), ()):
            raise Unsupported(f"{type(owner).__name__}.{name}")
        if name == "join":
            return self.join(args[0], owner)
        if name == "replace":
            return self.replace(owner, *args, **kwargs)
        result = method(*args, **kwargs)
        self.spend(CALL_WORK + len(result) if type(result) in SIZED else CALL_WORK)
        return result

    # --- filters --------------------------------------------------------------------------------
    def trim(self, value: Any, chars: str | None = None) -> str:
        text = (value if type(value) is str else self.shown(value)).strip(chars)
        self.spend(CALL_WORK + len(text))
        return text

    def join(self, value: Iterable, d: str = "", attribute: str | int | None = None) -> str:
        """Also `d.join(value)`."""
        if attribute is not None:
            value = map(filters.make_attrgetter(self, attribute), value)
        parts = [self.shown(part) for part in value]
        self.must_hold(sum(map(len, parts)) + len(parts) * len(d))
        return d.join(parts)

    def replace(self, s: Any, old: str, new: str, count: int = -1) -> str:
        text = self.shown(s)
        self.must_hold(len(text) + text.count(old) * len(new))
        return text.replace(old, new, -1 if count is None else count)

    def indent(self, s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        text = self.shown(s)
        self.must_hold(len(width) if isinstance(width, str) else int(width))
        step = width if isinstance(width, str) else " " * int(width)
        self.must_hold(len(text) + len(text.splitlines()) * len(step))
        return filters.do_indent(text, step, first, blank)

    def to_json(
        self, value: Any, ensure_ascii: bool = False, indent: int | None = None,
        separators: tuple[str, str] | None = None, sort_keys: bool = False,
    ) -> str:  # fmt: skip
        if indent is not None and not 0 <= indent <= 16:
            raise TooCostly("format")
        encoder = json.JSONEncoder(
            ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )
        return self.joined(encoder.iterencode(value))


class Shelf(Namespace):
    """`namespace()`. It does not show what it holds: two that hold a third each would double it."""

    def __repr__(self) -> str:
        return "<namespace>"


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _int(value: Any, default: int = 0, base: int = 10) -> int:
    """A number of many digits takes long to read, whatever its base."""
    return filters.do_int(value if not isinstance(value, str) else value[:100], default, base)


def _round(value: float, precision: int = 0, method: str = "common") -> float:
    return filters.do_round(value, max(-20, min(precision, 20)), method)  # type: ignore[arg-type]


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(format: str) -> str:
    if len(format) > MAX_STRFTIME:
        raise TooCostly("format")
    return datetime.now().strftime(format)
