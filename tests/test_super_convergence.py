"""Super-convergence: its parts against formulas and published numbers, small runs."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import optax_cycles as oc

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def parts():
    """The modules of the example."""
    names = ("tasks", "training", "report", "figure", "cifar")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        found = {n: importlib.import_module(f"_super_convergence_{n}") for n in names}
        module = importlib.import_module("super_convergence")
        yield SimpleNamespace(**found, main=module.main)


def test_the_decay_falls_by_ten_where_the_published_one_did(parts):
    steps = np.array([0, 49_999, 50_000, 69_999, 70_000, 79_999])
    rates = parts.training.piecewise(80_000, 0.35)(steps)
    # The authors' solver file; their logs end at 0.0035.
    np.testing.assert_allclose(rates, [0.35, 0.35, 0.035, 0.035, 0.0035, 0.0035])


def test_the_published_triangle_has_the_rates_of_the_authors_log(parts):
    schedule = parts.training.cycle(10_000, 3.0, (0.1, 3.0))
    np.testing.assert_allclose(schedule(np.array([9800, 9900])), [0.216, 0.158], 1e-4)
    steps = np.arange(10_001)
    expected = np.interp(steps, [0, 5_000, 10_000], [0.1, 3.0, 0.1])
    np.testing.assert_allclose(schedule(steps), expected, rtol=1e-5)


def test_one_cycle_goes_up_and_down_in_straight_lines_and_then_far_below(parts):
    steps = np.arange(401)
    expected = np.interp(steps, [0, 180, 360, 400], [0.02, 0.6, 0.02, 0.0002])
    found = jax.jit(lambda n, peak: parts.training.cycle(n, peak)(steps))(400, 0.6)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def count(network, shape):
    variables = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, *shape)), train=True)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def resnet_weights(blocks):
    """By hand: 3 x 3 kernels, a scale and a shift for each feature, 65 x 10 at last."""
    ends = [(3, 16), *[(16, 16)] * 2 * blocks]
    for wide in (32, 64):
        ends += [(wide // 2, wide), *[(wide, wide)] * (2 * blocks - 1)]
    return sum(9 * n * m + 2 * m for n, m in ends) + 65 * 10


# Depth and millions of numbers in table 6 of He et al., "Deep residual learning for
# image recognition" (2016).
@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85), (110, 1.7)]
)
def test_residual_networks_are_as_large_as_those_of_the_paper(parts, depth, millions):
    blocks = (depth - 2) // 6
    found = count(parts.tasks.ResNet(16, blocks=blocks, stages=3), (32, 32, 3))
    assert found == resnet_weights(blocks)
    assert round(found / 1e6, 1 if depth == 110 else 2) == millions


def test_the_small_network_has_two_dense_layers_in_each_block(parts):
    network = parts.tasks.DenseResNet(32, blocks=12)
    layers = [64 * 32, *[32 * 32] * 24]
    assert count(network, (8, 8, 1)) == sum(layers) + 25 * 2 * 32 + 33 * 10


def test_a_shortcut_takes_every_second_pixel_and_fills_up_with_zeros(parts):
    x = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    found = np.asarray(parts.tasks.shortcut(x, 6, 2))
    assert found.shape == (2, 2, 2, 6)
    np.testing.assert_array_equal(found[..., :3], x[:, ::2, ::2])
    assert not found[..., 3:].any()
    np.testing.assert_array_equal(parts.tasks.shortcut(x, 3, 1), x)


def test_images_are_mirrored_and_cropped_at_random(parts):
    images = np.random.default_rng(0).random((64, 5, 6, 2)).astype(np.float32)
    framed = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    found = np.asarray(parts.tasks.augment(images, jax.random.key(0), 2, True))
    seen = set()
    for image, frame in zip(found, framed, strict=True):
        (of_image,) = (
            (row, column, mirrored)
            for row in range(5)
            for column in range(5)
            for mirrored in (False, True)
            if np.array_equal(
                image[:, ::-1] if mirrored else image,
                frame[row : row + 5, column : column + 6],
            )
        )
        seen.add(of_image)
    assert (
        {row for row, _, _ in seen} == {column for _, column, _ in seen} == {*range(5)}
    )
    assert {mirrored for *_, mirrored in seen} == {False, True}
    same = parts.tasks.augment(images, jax.random.key(0), 0, False)
    np.testing.assert_array_equal(same, images)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--folder", "x"], "--folder goes with --data cifar10"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--steps", "3"], "--steps must be at least 4, got 3"),
        (["--rates", "0"], "--rates must be above 0 and finite, got [0.0]"),
        (
            ["--train-examples", "1000"],
            "--train-examples must be at most 900, got 1000",
        ),
        (
            ["--train-examples", "9", "--batch", "10"],
            "--batch must be at most 9, got 10",
        ),
        (["--data", "cifar10", "--depth", "57"], "--depth must be 6 n + 2, got 57"),
        (["--depth", "56"], "--depth goes with --data cifar10"),
        (["--peak", "-1"], "--peak must be above 0 and finite, got [-1.0]"),
        (["--pad", "-1"], "--pad must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(parts, capsys, words, said):
    with pytest.raises(SystemExit) as stop:
        parts.main(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: {said}")


def test_a_page_without_a_place_for_the_table_is_refused(parts, capsys, tmp_path):
    page = tmp_path / "page.md"
    for content, said in ((None, "No such file"), ("none", "must have the lines of a")):
        if content:
            page.write_text(content)
        with pytest.raises(SystemExit) as stop:
            parts.main(["--page", str(page)])
        assert stop.value.code == 2
        assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_range_test_without_an_answer_says_what_to_do(parts, capsys, monkeypatch):
    def refuse(task, train):
        raise oc.NoSuggestionError("parallel_best: training failed everywhere")

    monkeypatch.setattr(parts.training, "range_test", refuse)
    with pytest.raises(SystemExit) as stop:
        parts.main([])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("training failed everywhere; or give --peak")


def made_up(parts, seeds):
    """A comparison in which 1cycle is better by a point than the decay."""
    rng = np.random.default_rng(0)

    def runs(peak, level):
        accuracy = level + 0.001 * rng.normal(size=(seeds, 2))
        return parts.training.Runs(peak, np.array([5, 10]), accuracy)

    decays = {
        length: [runs(0.1, 0.5), runs(0.2, 0.9), runs(0.4, 0.8)]
        for length in ("short", "long")
    }
    cycles = {"short": runs(0.8, 0.91), "long": runs(0.8, 0.89)}
    return parts.report.Comparison(decays, cycles)


def test_the_decay_has_the_best_of_its_rates_and_differences_are_paired(parts):
    four = made_up(parts, 6).four
    assert [one.peak for one in four.values()] == [0.2, 0.2, 0.8, 0.8]
    found = parts.report.findings(four)
    assert [one["holds"] for one in found.values()] == [True, True, False]
    short, decay = four["1cycle, short"].final, four["decay, long"].final
    expected = stats.ttest_rel(short, decay).confidence_interval(0.9)
    interval = found["a short 1cycle reaches the long decay"]["interval"]
    np.testing.assert_allclose(interval, expected)
    alone = parts.report.findings(made_up(parts, 1).four)
    assert {one["holds"] for one in alone.values()} == {None}


def test_a_small_run_of_the_digits_leaves_figure_json_and_table(
    parts, tmp_path, capsys
):
    page = tmp_path / "page.md"
    page.write_text(
        "Before\n<!-- table: start -->\nstale\n<!-- table: end -->\nafter\n"
    )
    words = (
        "--seeds 2 --steps 8 --rates 0.05 0.1 --peak 0.2 --train-examples 60 --batch 20"
    )
    out = ["--out", str(tmp_path / "new"), "--page", str(page)]
    found = parts.main([*words.split(), *out])
    assert (found["short"], found["long"], found["seeds"]) == (2, 8, 2)
    assert (found["examples"], found["validation"]) == (60, 897)
    ends = {name: one["updates"][-1] for name, one in found["trainings"].items()}
    assert list(ends.values()) == [8, 2, 2, 8]
    peaks = [one["peak"] for one in found["trainings"].values()]
    assert peaks[2:] == pytest.approx([0.2, 0.2])
    assert found["range_test"] is None
    for one in found["trainings"].values():
        assert np.shape(one["accuracy"]) == (2, len(one["updates"]))
    written = json.loads((tmp_path / "new" / "super_convergence.json").read_text())
    assert written["findings"] == found["findings"]
    picture = (tmp_path / "new" / "super_convergence.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert "digits: 60 examples in batches of 20" in capsys.readouterr().out
    table = page.read_text()
    assert table.startswith("Before\n<!-- table: start -->\n\n| schedule | updates |")
    assert table.endswith("<!-- table: end -->\nafter\n")
    assert "stale" not in table


@pytest.mark.slow
def test_a_quarter_of_the_updates_of_the_decay_are_enough_for_one_cycle(parts):
    found = parts.main(["--rates", "0.1", "0.2"])
    trainings = found["trainings"]
    short, decay, as_short = (
        np.array(trainings[name]["final"])
        for name in ("1cycle, short", "decay, long", "decay, short")
    )
    # No worse than by what the seeds leave open, ...
    assert short.mean() > decay.mean() - 2 * stats.sem(short - decay)
    # ... which is not because the decay needs no more than a quarter either.
    assert stats.ttest_rel(short, as_short, alternative="greater").pvalue < 0.05
    assert found["findings"]["a short 1cycle reaches the long decay"]["holds"]
    assert found["findings"]["a short 1cycle beats the decay as short"]["holds"]
    assert 0.1 < trainings["1cycle, short"]["peak"] < 1.0
