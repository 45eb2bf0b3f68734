"""Figures of matplotlib as SVG inside a page, in the colours of the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from optax_cycles import _figures
from optax_cycles._extras import require
from optax_cycles.tuning.report_html import Html, fill

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stands for the colour of the page's text, which is another one at night.
INK = "#010203"
# The page gives these other values in the dark.
_COLORS = {
    INK: "currentColor",
    _figures.BLUE.lower(): "var(--blue)",
    _figures.ORANGE.lower(): "var(--orange)",
    _figures.GREEN.lower(): "var(--green)",
    _figures.RED.lower(): "var(--red)",
    _figures.PURPLE.lower(): "var(--purple)",
    _figures.SKY.lower(): "var(--sky)",
    _figures.GREY.lower(): "var(--grey)",
}
_COLOR = re.compile("|".join(_COLORS))
_FONT = re.compile(r"'DejaVu Sans'[^;]*")
_LONGEST = 32


class Drawing(NamedTuple):
    """A figure with its words.

    Attributes:
      name: tells it from the others of a page; letters and hyphens.
      title: what it shows, in a line.
      description: what one sees, for those who don't see it.
      figure: the figure.
    """

    name: str
    title: str
    description: str
    figure: Figure


@contextmanager
def page_style() -> Iterator[None]:
    """Draw for a page: text in its colour and font, whatever the user's style is."""
    style = require("matplotlib.style", "sweep", "report")
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color")
    settings = {
        **dict.fromkeys((*inked, "ytick.color"), INK),
        "grid.color": _figures.GREY,
        "axes.axisbelow": True,
        "font.size": 9.0,
        "axes.labelsize": 9.0,
        "svg.fonttype": "none",
        # The same recipe gives the same page; `inline` tells figures apart.
        "svg.hashsalt": "report",
        # Names are shown as they are, dollars included.
        "text.parse_math": False,
    }
    with style.context(["default", settings]), warnings.catch_warnings():
        # The browser has the letters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def shown(name: object) -> str:
    """A name as text of a figure: short, and of letters that XML can hold."""
    letters = _letters(str(name))
    short = f"{letters[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
    return letters if len(letters) <= _LONGEST else short


def inline(drawing: Drawing) -> Html:
    """A figure as HTML that stands alone: no names that another one has, no links."""
    image = _svg(drawing.figure)
    _rename(image, drawing.name)
    for style in image.findall("defs/style/.."):
        # It would hold for the whole page, which has it in its own style.
        image.remove(style)
    del image.attrib["width"], image.attrib["height"]
    image.set("role", "img")
    image.set("aria-labelledby", f"{drawing.name}-title {drawing.name}-description")
    for place, part in enumerate(("title", "description")):
        tag = "desc" if part == "description" else part
        words = ElementTree.Element(tag, id=f"{drawing.name}-{part}")
        words.text = _letters(getattr(drawing, part))
        image.insert(place, words)
    return fill(
        "<figure>$image<figcaption>$title</figcaption></figure>",
        image=Html(ElementTree.tostring(image, encoding="unicode")),
        title=drawing.title,
    )


def _letters(text: str) -> str:
    """Without what XML can't hold."""
    unknown = "\N{REPLACEMENT CHARACTER}"
    return "".join(one if one.isprintable() else unknown for one in text)


def _svg(figure: Figure) -> ElementTree.Element:
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    return ElementTree.fromstring(file.getvalue())


def _rename(image: ElementTree.Element, name: str) -> None:
    """No namespaces, which HTML does without; own ids; colours of the page."""
    for element in image.iter():
        element.tag = _local(element.tag)
        for key in list(element.attrib):
            value = element.attrib.pop(key)
            element.set(_local(key), _value(_local(key), value, name))


def _value(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value.removeprefix('#')}"
    if key == "style":
        value = _FONT.sub("var(--sans)", value)
    if key in ("style", "fill", "stroke"):
        value = _COLOR.sub(lambda found: _COLORS[found[0]], value)
    return value.replace("url(#", f"url(#{name}-")


def _local(name: str) -> str:
    return name.rpartition("}")[2]
