"""Results as tables."""

import re
import tracemalloc

import numpy as np
import pytest
from test_result import (
    HORIZONS,
    INF,
    MOMENTA,
    NAN,
    RATES,
    SEEDS,
    make_result,
    with_last,
)

import optax_cycles as oc


def test_a_dataframe_has_a_row_for_each_member_and_horizon():
    result = make_result()
    frame = result.to_dataframe()
    assert len(frame) == 3 * 1 * 2 * 3
    assert {"learning_rate", "momentum", "decay", "seed", "horizon"} <= set(frame)
    assert not [name for name in frame if name.startswith("train_")]
    for i, rate in enumerate(RATES):
        for j, seed in enumerate(SEEDS):
            for k, horizon in enumerate(HORIZONS):
                here = frame[
                    (frame.learning_rate == rate)
                    & (frame.seed == seed)
                    & (frame.horizon == horizon)
                ]
                assert here.momentum.tolist() == [MOMENTA[i]]
                word = "diverged" if result.diverged[i, 0, j] else "running"
                assert here.status.tolist() == [word]
                np.testing.assert_array_equal(
                    here.validation_loss, [result.validation["loss"][i, 0, j, k]]
                )


def test_a_dataframe_without_validation_has_a_row_for_each_member():
    result = make_result(validation={}, horizons=np.array([], np.int64))
    frame = result.to_dataframe()
    assert len(frame) == 6
    assert frame["updates"].tolist() == [3, 3, 3, 3, 3, 2]


def test_a_dataframe_of_the_curves_has_a_row_for_each_member_and_update():
    result = make_result()
    frame = result.to_dataframe("train")
    assert list(frame) == [
        "learning_rate",
        "momentum",
        "decay",
        "seed",
        "step",
        "train_loss",
        "train_grad/norm",
    ]
    curve = frame[(frame.learning_rate == 1.0) & (frame.seed == 4)]
    assert curve.step.tolist() == [0, 1, 2]
    assert curve.momentum.tolist() == [0.8] * 3
    np.testing.assert_array_equal(curve.train_loss, result.train["loss"][1, 0, 1])
    # It may be changed without changing the result.
    before = result.train["loss"].copy()
    frame.loc[:, "train_loss"] = 0.0
    np.testing.assert_array_equal(result.train["loss"], before)


def test_a_dataframe_takes_no_more_memory_than_its_rows():
    """10,000 members and 100 updates: nothing is held twice."""
    space = oc.sweep.grid(learning_rate=np.linspace(0.1, 1, 1000), seed=range(10))
    train = np.zeros((1000, 10, 100), np.float32)
    result = make_result(space=space, steps=100, train={"loss": train})
    tracemalloc.start()
    frame = result.to_dataframe("train")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(frame) == 1_000_000
    assert peak < 1.1 * frame.memory_usage().sum()


def test_another_kind_of_dataframe_is_refused():
    with pytest.raises(ValueError, match="kind must be one of train, validation"):
        make_result().to_dataframe("valid")


def test_a_notebook_shows_axes_counts_and_the_best_member():
    result = with_last([3.0, 2.0, NAN, 1.0, 5.0, INF])
    html = result._repr_html_()
    cells = re.findall(r"<th>(.*?)</th><td>(.*?)</td>", html)
    assert cells == [
        ("learning_rate", "0.1 to 10, 3 values"),
        ("momentum", "0.7 to 0.9, 3 values"),
        ("decay", "0.5"),
        ("seed", "0 to 4, 2 values"),
        ("members", "6: 5 finished, 1 diverged"),
        ("updates", "3"),
        (
            "best",
            "learning_rate 1, momentum 0.8, decay 0.5, seed 4: validation loss 1",
        ),
    ]


def test_a_notebook_shows_a_result_without_validation():
    updates = np.array([3, 3, 1, 0, 0, 2]).reshape(3, 1, 2)
    html = make_result(validation={}, updates=updates)._repr_html_()
    assert "6: 2 finished, 1 diverged, 3 not finished" in html
    assert "best" not in html


def test_names_are_escaped_in_a_notebook():
    space = oc.sweep.zip(**{"<b>": [1.0, 2.0]})
    changes = {"train": {}, "validation": {}, "status": np.zeros(2, np.int32)}
    html = make_result(space=space, updates=np.full(2, 3), **changes)._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
