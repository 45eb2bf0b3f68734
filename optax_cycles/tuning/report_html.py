"""Templates of HTML whose values are always escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from string import Template
from typing import Any


class Html(str):
    """Text that is HTML already, so that it is not escaped again."""

    __slots__ = ()


NOTHING = Html("")


def escaped(value: Any) -> Html:
    """A value as HTML: text is escaped, and what is HTML stays as it is.

    Examples:
      >>> escaped("a < b"), escaped(Html("<b>"))
      ('a &lt; b', '<b>')
    """
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def fill(template: str, **values: Any) -> Html:
    """A template with `$name` for values, which are escaped.

    Examples:
      >>> fill("<p>$said</p>", said="a & b")
      '<p>a &amp; b</p>'
    """
    filled = {name: escaped(value) for name, value in values.items()}
    return Html(Template(template).substitute(filled))


def joined(parts: Iterable[Any]) -> Html:
    """The parts one after another, escaped."""
    return Html("\n".join(escaped(part) for part in parts if part != ""))


def paragraphs(*texts: str, kind: str = "") -> Html:
    """A paragraph for each text that says something."""
    return joined(
        fill('<p class="$kind">$text</p>', kind=kind, text=text)
        for text in texts
        if text
    )


def items(texts: Iterable[Any]) -> Html:
    """A list."""
    return fill("<ul>$all</ul>", all=joined(fill("<li>$t</li>", t=t) for t in texts))


def details(summary: str, content: Html) -> Html:
    """What is shown only when asked for."""
    template = "<details><summary>$summary</summary>$content</details>"
    return fill(template, summary=summary, content=content)


def table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table whose first column names the rows; wide ones scroll by themselves."""
    head = joined(fill('<th scope="col">$name</th>', name=name) for name in headers)
    return fill(
        '<div class="scroll" tabindex="0" role="region" aria-label="$caption">'
        "<table><caption>$caption</caption><thead><tr>$head</tr></thead>"
        "<tbody>$body</tbody></table></div>",
        caption=caption,
        head=head,
        body=joined(map(_row, rows)),
    )


def _row(cells: Sequence[Any]) -> Html:
    first, *others = cells
    named = fill('<th scope="row">$cell</th>', cell=first)
    rest = joined(fill("<td>$cell</td>", cell=cell) for cell in others)
    return fill("<tr>$named$rest</tr>", named=named, rest=rest)
