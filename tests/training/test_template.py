"""The cage: what honest templates write is as ever; what a hostile one asks for is refused soon."""

import json
import resource
import time
from datetime import datetime

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.training.templates_in_use import TEMPLATES
from training import template

MESSAGES = [
    {"role": "system", "content": "짧게 <답>하세요.\n"},
    {"role": "user", "content": "  오늘\n날씨 & 내일 날씨  "},
    {"role": "assistant", "content": "<think>\n음\n</think>\n\n맑습니다."},
    {"role": "user", "content": "고마워요"},
]
VALUES = {
    "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", "enable_thinking": False,
    "loop_count": 7,
}  # fmt: skip


def render(source: str, messages: list | None = None) -> str:
    messages = MESSAGES if messages is None else messages
    characters = sum(len(message["content"]) + 200 for message in messages)
    return template.Template(source).render(VALUES | {"messages": messages}, characters)


def plain(source: str, messages: list) -> str:
    """Render as Jinja does without a cage."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, indent=indent)
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    for tag in ("{% generation %}", "{% endgeneration %}"):
        source = source.replace(tag, "")
    return environment.from_string(source).render(messages=messages, **VALUES)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("first", [0, 1], ids=["system", "no-system"])
def test_templates_in_use_write_what_they_write_elsewhere(name, first):
    text = render(TEMPLATES[name], MESSAGES[first:])
    assert text == plain(TEMPLATES[name], MESSAGES[first:]) and "고마워요" in text


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_very_long_conversation_is_rendered(name):
    short = [{"role": role, "content": "네"} for role in ("user", "assistant")] * 1_000
    long = [{"role": "user", "content": "가나다라" * 250_000}]
    assert len(render(TEMPLATES[name], short)) > 20_000
    assert len(render(TEMPLATES[name], long)) > 1_000_000


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ [1, 2] + [3] }}{{ 1 + 2 }}{{ 'a' + 'b' }}{{ 'a' ~ 1 ~ none }}", "[1, 2, 3]3aba1None"),
        ("{% set x = 'a' + 'b' + 'c' %}{% set y = x ~ 1 %}{{ y }}{{ x[1:] }}{{ x[0] }}", "abc1bca"),
        ("{{ '%02d' % 7 }}{{ 7 % 4 }}{{ '-' * 3 }}{{ 2 ** 10 }}{{ 3 * 4 }}", "073---102412"),
        ("{{ '{:.2f} {{x}} {a}'.format(1.5, a='b') }}", "1.50 {x} b"),
        ("{{ ['a', 'b'] | join('+') }}{{ '+'.join(['a', 'b']) }}", "a+ba+b"),
        ("{{ 'a-b' | replace('-', '+') }}{{ 'a-b'.replace('-', '+') }}", "a+ba+b"),
        ("{{ 'a\nb' | indent(2) }}{{ 'a\nb' | indent('>', true) }}", "a\n  b>a\n>b"),
        ("{{ {'가': [1, none, true]} | tojson }}", '{"가": [1, null, true]}'),
        ("{{ [1] | tojson(indent=1) }}{{ ' a ' | trim }}{{ 'xax' | trim('x') }}", "[\n 1\n]aa"),
        ("{{ ('1' | int) + ('x' | int(5)) }}{{ 2.567 | round(1) }}", "62.6"),
        ("{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}", "aba"),
        ("{% set j = joiner(',') %}{{ j() }}a{{ j() }}b", "a,b"),
        ("{% set n = namespace(a=1) %}{% set n.a = n.a + 1 %}{{ n.a }}", "2"),
        ("{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}", "123"),
        ("{% for x in range(9) if x % 2 %}{% if x > 5 %}{% break %}{% endif %}{{ x }}{% endfor %}", "135"),
        ("{% for x in 'ab' %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}{% endfor %}", "1/2False2/2True"),
        ("{% macro m(a, b='c') %}{{ a }}{{ b }}{{ varargs }}{% endmacro %}{{ m('x') }}", "xc()"),
        ("{% call m() %}b{% endcall %}{% macro m() %}{{ caller() }}{% endmacro %}", None),
        ("{% set x %}a{{ 1 }}{% endset %}{{ x | upper }}{% filter lower %}B{% endfilter %}", "A1b"),
        ("{% generation %}a{{ 1 }}{% endgeneration %}", "a1"),
        ("{{ missing }}|{{ missing is defined }}|{{ missing | default('d') }}", "|False|d"),
        ("{{ 'a' in 'abc' }}{{ 'b' in ['b'] }}{{ 1 < 2 < 3 }}{{ [1] == [1] }}", "TrueTrueTrueTrue"),
        ("{{ '<b>' | safe }}{{ '<b>' }}{{ strftime_now('%%') }}", "<b><b>%"),
    ],
)  # fmt: skip
def test_the_language_is_as_ever(source, text):
    if text is None:
        with pytest.raises(jinja2.UndefinedError):
            render(source)
    else:
        assert render(source) == text


A = "{% set a = 'a' * 100000 %}"
HOSTILE = {
    "text times a number": "{{ 'a' * 10 ** 9 }}",
    "number times a text": "{{ 10 ** 9 * 'a' }}",
    "list times a number": "{% set x = [0] * 10 ** 9 %}",
    "times in steps": "{{ 'a' * 99999 * 99999 }}",
    "power": "{{ 9 ** 99999 }}",
    "squares": "{% set n = namespace(x=10) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent by value": "{{ '%*d' % (10 ** 9, 1) }}",
    "percent many": "{{ ('%999d' * 1000) % ((1,) * 1000) }}",
    "percent doubling": A + "{{ '%s%s%s%s' % (a, a, a, a) }}",
    "format": "{{ '{:1000000000d}'.format(1) }}",
    "format by value": "{{ '{:{}}'.format(1, 10 ** 9) }}",
    "format doubling": A + "{{ '{0}{0}{0}{0}{0}'.format(a) }}",
    "format map": "{{ '{a:1000000000d}'.format_map({'a': 1}) }}",
    "format by filter": "{{ '%1000000000d' | format(1) }}",
    "format by attr": "{{ ('{:1000000000d}' | attr('format'))(1) }}",
    "center": "{{ 'a' | center(10 ** 9) }}",
    "center by method": "{{ 'a'.center(10 ** 9) }}",
    "ljust": "{{ 'a'.ljust(10 ** 9) }}",
    "zfill": "{{ 'a'.zfill(10 ** 9) }}",
    "expandtabs": "{{ '\t'.expandtabs(10 ** 9) }}",
    "to bytes": "{{ (1).to_bytes(10 ** 9, 'big') }}",
    "encode": A + "{% for x in range(9999) %}{{ a.encode('utf-32') }}{% endfor %}",
    "indent": "{{ 'a\nb' | indent(10 ** 9) }}",
    "indent by text": A + "{{ ('b\n' * 9999) | indent(a) }}",
    "replace": A + "{{ a | replace('a', a) }}",
    "replace nothing": A + "{{ a | replace('', a) }}",
    "replace by method": A + "{{ a.replace('a', a) }}",
    "join": A + "{{ range(9999) | join(a) }}",
    "join by method": A + "{{ a.join(['b'] * 9999) }}",
    "join of itself": A + "{{ a.join(a) }}",
    "batch": "{{ [1] | batch(10 ** 9, 'x') | list }}",
    "slice": "{{ [1] | slice(10 ** 9) | list }}",
    "wordwrap": A + "{{ a | wordwrap(1, wrapstring=a) }}",
    "lipsum": "{{ lipsum(10 ** 6) }}",
    "sum of lists": "{{ ([[1] * 99] * 999) | sum(start=[]) }}",
    "round": "{{ 1 | round(-10 ** 9) }}{{ 'a' * 10 ** 9 }}",
    "round up": "{{ 1 | round(10 ** 9, 'ceil') }}{{ 'a' * 10 ** 9 }}",
    "json indent": "{{ [[[1]]] | tojson(indent=10 ** 9) }}",
    "json deep": "{% set n = namespace(x=[0] * 9999) %}{% for i in range(400) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x | tojson(indent=16) }}",
    "tilde doubling": "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "plus doubling": "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubling without a loop": "{% set x = 'aaaaaaaa' %}" + "{% set x = x ~ x %}" * 60,
    "doubling by block": "{% set x = 'aaaaaaaa' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60,
    "doubling by with": "{% with x = 'aaaaaaaa' %}" + "{% with x = x + x %}" * 15 + "{% with y = x * 99 %}{{ y }}" + "{% endwith %}" * 17,
    "doubling by macro": "{% macro m(x, n) %}{{ m(x ~ x, n - 1) if n else x }}{% endmacro %}{{ m('aa', 60) }}",
    "long sum": A + "{{ " + " + ".join("a" * 5000) + " }}",
    "long glue": A + "{% macro m() %}" + ("{{ " + " ~ ".join("a" * 15) + " }}") * 900 + "{% endmacro %}{{ m() }}",
    "many copies": A + "".join(f"{{% set a{n} = a[{n}:] %}}" for n in range(1200)),
    "many strips": A + "".join(f"{{% set a{n} = a.upper() %}}" for n in range(1200)),
    "much shown": A + "{{ a }}" * 1400,
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "deep loops": "{% for a in range(999) %}" * 9 + "x" + "{% endfor %}" * 9,
    "loop filter": "{% for a in range(9999) %}{% for b in range(9999) if false %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for a in range(9999) recursive %}{{ loop(range(9999)) if loop.depth < 9 }}{% endfor %}",
    "long body": "{% for i in range(99999) %}" + "{{ i }}" * 1400 + "{% endfor %}",
    "silent body": "{% set x %}{% for i in range(99999) %}" + "a{% if 1 %}b{% endif %}" * 700 + "{% endfor %}{% endset %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "macro without end": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "callers": "{% macro m(n) %}{% if n %}{% call m(n - 1) %}{% endcall %}{% call m(n - 1) %}{% endcall %}{% endif %}{% endmacro %}{{ m(60) }}",
    "block without end": "{% block a %}{{ self.a() }}{% endblock %}",
    "blocks": "{% set n = namespace(d=60) %}{% block a scoped %}{% for i in range(99) %}{{ self.a() }}{% endfor %}{% endblock %}",
    "lists of lists": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x }}",
    "tuples of tuples": "{% set x = (1,) %}" + "{% set x = (x, x) %}" * 60 + "{{ x == x | list }}",
    "dicts of dicts": "{% set x = {} %}" + "{% set x = {'a': x, 'b': x} %}" * 60 + "{{ x | tojson }}",
    "dict call": "{% set x = dict() %}" + "{% set x = dict(a=x, b=x) %}" * 60 + "{{ x }}",
    "namespaces": "{% set x = namespace() %}" + "{% set x = namespace(a=x, b=x) %}" * 60 + "{{ x }}{{ 'a' * 10 ** 9 }}",
    "varargs": "{% macro m(n) %}{% if n %}{{ m(n - 1, varargs, varargs) }}{% else %}{{ varargs }}{% endif %}{% endmacro %}{{ m(60) }}",
    "comparing": "{% set x = [1] * 60000 %}{% set y = [1] * 60000 %}" + "{{ x == y }}" * 1200,
    "comparing by test": "{% set x = [1] * 60000 %}{% set y = [1] * 60000 %}" + "{{ x is eq(y) }}" * 1200,
    "looking for": A + "{% set y = a[1:] %}" + "{{ y in a }}" * 1200,
    "counting": A + "{% for i in range(9999) %}{{ a.count('a') }}{% endfor %}",
    "largest of all": "{% set x = range(90000) | list %}" + "{{ x | max }}" * 1200,
    "last of none": "{% set x = range(90000) | list %}" + "{{ x | select('none') | first }}" * 1200,
    "cycler": "{% set c = cycler(*range(9999)) %}{% for i in range(99999) %}{{ c.next() }}{{ c.current }}{{ i ** 50 }}{% endfor %}",
    "joiner": A + "{% set j = joiner(a) %}{% for i in range(99999) %}{{ j() }}{% endfor %}",
    "long number": A + "{{ ('9' * 99999) | int(base=16) ** 9 }}{{ 'a' * 10 ** 9 }}",
    "date": "{{ strftime_now('%c' * 99999) }}",
    "error message": A + "{{ raise_exception(a * 99999) }}",
    "escapes": A + "{% autoescape true %}{{ ('&' * 99999) * 2 }}{% endautoescape %}",
    "other filters": A + "{{ a | urlize }}",
    "brackets": "{{ " + "(" * 20000 + ")" * 20000 + " }}",
    "minuses": "{{ " + "-" * 60000 + "1 }}",
    "nots": "{% if " + "not " * 15000 + "1 %}{% endif %}",
    "ifs": "{% if 1 %}" * 700 + "{% endif %}" * 2000,
    "digits": "{{ " + "9" * 60000 + " }}",
    "many tags": "{{ 1 }}" * 2000,
    "too long": " " * 70000,
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ raise_exception.__globals__ }}{{ strftime_now.__globals__.x.y }}",
    "the cage itself": "{{ range.__self__.left }}{{ joiner.__init__.__globals__.x }}",
    "append": "{% set x = [] %}{{ x.append(1) }}",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_soon_and_takes_little(name):
    began, before = time.thread_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((jinja2.TemplateError, TypeError, RecursionError, SyntaxError, ValueError)):
        render(HOSTILE[name])
    assert time.thread_time() - began < 2  # 0.5 s for the rendering; the rest reads the source
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
