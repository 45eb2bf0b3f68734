"""Rewrite the tables of this folder's `README.md` and of the project's."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import _measure

START, END = "<!-- table: start -->", "<!-- table: end -->"
ORDER = ("sweep_mlp", "cold_start", "worth", "schedules", "optimizers", "convolution")
HERE = Path(__file__).parent


def section(result: _measure.Json) -> str:
    """One benchmark's table, with what it ran on."""
    lines = [_measure.HEADER, ["---"] * len(_measure.HEADER)]
    lines += [
        [cell.replace("|", "\\|") for cell in row]
        for row in _measure.table_rows(result["rows"])
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    ran_on = _measure.environment_line(result["environment"])
    return f"### `{result['benchmark']}.py`\n\n{table}\n\n{ran_on}.\n"


def sections(folder: Path) -> str:
    """All tables of a folder; one without a result says so."""
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    names = [*ORDER, *sorted(set(found) - set(ORDER))]
    absent = "### `{}.py`\n\nNo result in `results/`; run it.\n"
    return "\n".join(
        section(found[name]) if name in found else absent.format(name) for name in names
    )


def summary(folder: Path) -> str:
    """The rows that compare with what a user would take instead."""
    lines = ["| work | against | figure | goal |", "| --- | --- | --- | --- |"]
    environments = [""]
    for name in ORDER[:2]:
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        environments.append(_measure.environment_line(result["environment"]))
        for row in (row for row in result["rows"] if row["value"] is not None):
            sign = "<=" if row["at_most"] else ">="
            figure = f"{row['value']['median']:.3g} {row['unit']}"
            goal = f"{sign} {row['goal']:g}"
            lines.append(f"| {row['work']} | {row['against']} | {figure} | {goal} |")
    said = "Each benchmark was a run of its own, the last one on"
    # Lines begin with the date.
    return "\n".join([*lines, "", f"{said} {max(environments)}.", ""])


def rewrite(readme: Path, tables: str) -> None:
    """Put `tables` between the markers of a file.

    Raises:
      ValueError: if the file does not hold each marker once, in order.
    """
    text = readme.read_text()
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end or START in rest or END in after:
        raise ValueError(f"{readme}: expected {START} and then {END}, once each")
    readme.write_text(f"{before}{START}\n\n{tables}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=_measure.RESULTS)
    parser.add_argument("--readme", type=Path, default=HERE / "README.md")
    parser.add_argument("--summary", type=Path, default=HERE.parent / "README.md")
    given = parser.parse_args()
    rewrite(given.summary, summary(given.results))
    rewrite(given.readme, sections(given.results))
    print(f"rewrote the tables of {given.readme} and {given.summary}")


if __name__ == "__main__":
    main()
