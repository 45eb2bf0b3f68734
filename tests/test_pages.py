"""The code of each page of the documentation runs as it is written."""

import re
from pathlib import Path

import pytest

DOCS = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
DOCS_CODE = {
    page.name: re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    for page in DOCS
}
# Four frameworks, each compiled several times.
SLOW = {"recipes.md"}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
        for name, code in DOCS_CODE.items()
        if code
    ],
)
def test_the_code_of_a_page_runs_from_top_to_bottom(page):
    names = {}
    for code in DOCS_CODE[page]:
        exec(code, names)
