"""HTML that is escaped by construction: only what this module builds is of type ``Html``."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_VOID = frozenset({"meta", "wbr"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | bool | None) -> Html:
    """``<tag attribute="value">children</tag>``.

    Args:
        tag: the element's name.
        children: text, which is escaped, or ``Html``, which is not.
        attributes: by name; a trailing ``_`` is dropped (``class_``), an inner one becomes ``-``
            (``aria_label``); True gives a bare name, False and None nothing.
    """
    opening = "".join([tag, *(_attribute(name, value) for name, value in attributes.items())])
    if tag in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{join(children)}</{tag}>")


def join(parts: Iterable[str], separator: str = "") -> Html:
    """The parts end to end, those escaped that are no markup."""
    return Html(separator.join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str | None = None,
    text_columns: int = 1,
) -> Html:
    """A table that scrolls sideways where it is too wide.

    Args:
        header: one cell for each column.
        rows: cells; the first of a row is its header.
        caption: what the table shows; stands above it.
        text_columns: how many columns, from the left, hold text; the others hold numbers.
    """
    kinds = [None if column < text_columns else "number" for column in range(len(header))]
    head = [element("th", cell, scope="col", class_=kind) for cell, kind in zip(header, kinds, strict=True)]
    body = []
    for first, *others in rows:
        cells = [element("td", cell, class_=kind) for cell, kind in zip(others, kinds[1:], strict=True)]
        body.append(element("tr", element("th", _breakable(first), scope="row"), *cells))
    parts = element("thead", element("tr", *head)), element("tbody", *body)
    # Focusable, so that the keyboard can scroll it.
    scrolled = element("div", element("table", *parts, aria_label=caption), class_="scroll", tabindex="0")
    return join([element("p", caption, class_="caption"), scrolled]) if caption else scrolled


def _breakable(name: str) -> Html:
    """A name that may be broken after its underscores."""
    return join(re.split(r"(?<=_)", name), element("wbr"))


def _attribute(name: str, value: str | bool | None) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(value)}"'
