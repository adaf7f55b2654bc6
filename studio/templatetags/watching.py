"""Filters of watching: the language of a model's words, numbers that are very small."""

from django import template

from studio.templatetags.studio import HANGUL, plain

register = template.Library()


@register.filter
def language_of(text: str) -> str:
    return "ko" if HANGUL.search(text) else "en"


@register.filter
def brief(value: float) -> str:
    """Write a number with three digits, a tiny one with two: 0.000187, 0.00000017."""
    digits = 3 if abs(value) >= 1e-5 else 2
    return plain(float(f"{float(value):.{digits}g}")) or "0"
