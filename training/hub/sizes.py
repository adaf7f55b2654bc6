"""How much a model may take, in bytes and in words. Knows no Django."""

SPARE_BYTES = 1024**3
"""Disk that must stay free beside a model."""


def in_words(size: int) -> str:
    """Write a size as people do: 64 MB, 2.9 GB."""
    if size < 1024**3:
        return f"{max(1, round(size / 1024**2)):,} MB"
    return f"{size / 1024**3:,.1f} GB"
