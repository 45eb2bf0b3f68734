"""What the pages quote of measurements is what the benchmarks' results hold.

A benchmark that is run again may move a figure: then the sentence must move too.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def page(name):
    return " ".join((ROOT / "docs" / name).read_text().split())


def rows(benchmark):
    """The figure and note of each row, by what was compared with what."""
    path = ROOT / "benchmarks" / "results" / f"{benchmark}.json"
    found = json.loads(path.read_text())["rows"]
    return {(row["work"], row["against"]): row for row in found}


def within_five(finder):
    """Regret's share of uses within 5 % of the best rate, in whole per cent."""
    text = (ROOT / "docs" / "regret.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith(f"| {finder} |"))
    return round(float(row.split("|")[4].strip(" %")))


@pytest.mark.parametrize(
    ("finder", "says"),
    [
        ("horizon_best", "{} % of 42 tasks within 5 % of the best loss"),
        ("our ramp, valley", "{} % of the tasks within 5 %, for 300 updates a seed"),
        ("our ramp, valley", "at equal time, {} % of the tasks"),
        ("torch-lr-finder", "on 0 to {} % of the tasks"),
        ("parallel_best, 64 x 5 x 37", "is within 5 % on {} % of the tasks"),
        ("parallel_best, 64 x 5 x 300", "at 300 on {} %"),
        ("horizon_best", "with `updates=` on {} %"),
    ],
)
def test_what_is_advised_of_finders_is_what_their_regret_says(finder, says):
    assert says.format(within_five(finder)) in page("how-to-choose.md")


def test_the_slopes_of_the_decays_are_those_that_were_measured():
    text = page("weight-decay.md")
    path = ROOT / "benchmarks" / "results" / "decay_grid.json"
    methods = json.loads(path.read_text())["networks"]["normalised"]
    titles = {
        "sgd_l2": "SGD, L2 regularisation",
        "sgdw": "SGDW",
        "adam_l2": "Adam, L2 regularisation",
        "adamw": "AdamW",
    }
    for method, title in titles.items():
        slope = methods[method]["validation"]["slope"]
        loss = methods[method]["validation"]["best"]["loss"]
        row = re.search(rf"\| {title} \| (\S+) \((\S+) to (\S+)\) \| (\S+) \|", text)
        said = [float(number) for number in row.groups()]
        found = [slope["median"], slope["low"], slope["high"]]
        assert said == [*(round(value, 2) for value in found), round(loss, 3)]


def test_how_fast_it_is_said_to_be_is_how_fast_it_was():
    text, sweep, start = page("performance.md"), rows("sweep_mlp"), rows("cold_start")
    update = "MLP sweep, 256 rates x 200 updates"
    says = {
        "jit(vmap(scan)), one device": "{} times as fast as `jit(vmap(scan))`",
        "torch bare loop": "{} times as fast as a PyTorch loop",
        "torch-lr-finder, per iteration": "{} times as fast as torch-lr-finder",
    }
    for against, words in says.items():
        ratio = sweep[update, against]["value"]["median"]
        assert words.format(round(ratio)) in text
    process = "cold start to suggestion, 64 rates x 100 updates"
    says = {
        "torch-lr-finder, one constant rate after another": "only {} times as fast",
        "torch bare loop, one rate after another": "and {} times as fast",
    }
    for against, words in says.items():
        ratio = start[process, against]["value"]["median"]
        assert words.format(round(ratio, 1)) in text
