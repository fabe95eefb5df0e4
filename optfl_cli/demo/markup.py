"""HTML and SVG out of Python calls. Text is escaped unless it is Markup already, so that nothing can be forgotten."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID_TAGS = frozenset({"br", "meta"})
_EMPTY_TAGS = frozenset({"circle", "line", "path", "polyline", "rect"})  # of SVG: they may close themselves


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: object) -> Markup:
    """An element. `class_` stands for class, `_` in a name for `-`; an attribute that is None is left out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    opening = name + "".join(f' {key}="{html.escape(_format(value))}"' for key, value in given.items())
    if name in _VOID_TAGS:
        return Markup(f"<{opening}>")
    if name in _EMPTY_TAGS and not children:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    return Markup("".join(part if isinstance(part, Markup) else html.escape(part) for part in parts))


def _format(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
