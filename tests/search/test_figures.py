"""Figures and tables of searches: what is drawn, on results with known answers."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.plot import new_figure
from optax_cycles.search import SearchResult, StaticResult
from optax_cycles.search.outcomes import limits_by, scale_by
from optax_cycles.sweep import Lineage, Status, SweepResult

NAN = np.nan
RUNNING, DIVERGED, DROPPED = Status.RUNNING, Status.DIVERGED, Status.DROPPED
RATES = np.array([0.001, 0.01, 0.1, 1.0])


def search_of(space, history, *, status=None, updates=None, horizons=None, **options):
    """A search whose members had `history` at horizons 10, 20, ...; 10 updates each."""
    history = np.asarray(history, np.float32)
    horizons = (
        np.arange(1, history.shape[-1] + 1) * 10 if horizons is None else horizons
    )
    steps = options.pop("steps", int(horizons[-1]))
    metric = options.pop("metric", "loss")
    shape = space.shape
    sweep = SweepResult(
        space=space,
        steps=steps,
        train={},
        validation={metric: history.reshape(*shape, -1)},
        horizons=np.asarray(horizons),
        status=np.reshape(np.zeros(space.size) if status is None else status, shape),
        updates=np.reshape(
            np.full(space.size, steps) if updates is None else updates, shape
        ),
        complete=options.pop("complete", True),
        seconds={},
        versions={},
        lineage=options.pop("lineage", None),
    )
    method, mode = options.pop("method", "grid"), options.pop("mode", "min")
    assert not options
    return SearchResult(method, sweep, metric, mode)


def panel():
    return new_figure(6, 4).subplots(1, 1)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def labelled(axes, start):
    """The lines of the legend's entry that begins with some words."""
    return [line for line in axes.lines if line.get_label().startswith(start)]


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def collection(axes, start):
    (found,) = [c for c in axes.collections if c.get_label().startswith(start)]
    return found


# Three seeds of four rates: medians 0.4, 0.22, 0.2 and none.
SEEDED = [0.3, 0.4, 0.5, 0.2, 0.22, 0.3, 0.1, NAN, 0.2, NAN, NAN, NAN]


def seeded():
    return search_of(
        oc.sweep.grid(learning_rate=RATES, momentum=[0.9], seed=[0, 1, 2]),
        np.array(SEEDED)[:, None],
        status=np.where(np.isnan(SEEDED), DIVERGED, RUNNING),
    )


def halving(**options):
    """Nine points, 3 of which go on at 10 and one at 30; the fifth diverges."""
    rates = np.geomspace(1e-4, 1.0, 9)
    history = np.full((9, 3), NAN)
    history[:, 0] = [0.9, 0.8, 0.7, 0.6, NAN, 0.5, 0.4, 0.35, 0.3]
    history[[6, 7, 8], 1] = [0.2, 0.25, 0.3]
    history[6, 2] = 0.1
    updates = np.array([10, 10, 10, 10, 4, 10, 90, 30, 30])
    status = np.full(9, DROPPED)
    status[[4, 6]] = DIVERGED, RUNNING
    own = np.arange(9)
    parents = np.stack([np.where(updates > end, own, -1) for end in (10, 30)], axis=1)
    lineage = Lineage(
        np.array([10, 30]), parents, {"learning_rate": np.tile(rates[:, None], 3)}
    )
    given = {"status": status, "updates": updates, "lineage": lineage, "steps": 90}
    return search_of(
        oc.sweep.grid(learning_rate=rates),
        history,
        horizons=[10, 30, 90],
        method="successive_halving",
        **given | options,
    )


def population(**options):
    """Three members; the last copies the first at 10, the second the last at 20."""
    rates = np.array([[0.1, 0.1, 0.1], [0.001, 0.001, 0.096], [1.0, 0.08, 0.08]])
    momenta = np.array([[0.9, 0.9, 0.9], [0.8, 0.8, 0.7], [0.5, 0.6, 0.6]])
    lineage = Lineage(
        np.array([10, 20]),
        np.array([[0, 0], [1, 2], [0, 2]], np.int32),
        {"learning_rate": rates, "momentum": momenta},
    )
    history = [[0.5, 0.4, 0.3], [0.6, 0.55, 0.1], [0.9, 0.2, 0.15]]
    space = oc.sweep.zip(learning_rate=rates[:, 0], momentum=momenta[:, 0])
    given = {"lineage": lineage, "method": "population"}
    return search_of(space, history, **given | options)


def many(count=64, seed=0, **options):
    """Points of six hyperparameters of all kinds; the score is the distance of one."""
    draw = oc.search
    space = {
        "learning_rate": draw.log_uniform(1e-4, 1.0),
        "momentum": draw.uniform(0.0, 0.999),
        "weight_decay": draw.log_uniform(1e-6, 1e-2),
        "batch_norm_momentum": draw.choice([0.9, 0.95, 0.99]),
        "layers": draw.integers(1, 6),
        "dropout": draw.uniform(0.0, 0.5),
    }
    points = draw.random(space, count, seed=seed)
    rates = points.members()["learning_rate"]
    return search_of(points, 1 + np.abs(np.log10(rates) + 1)[:, None], **options)


def test_a_leaderboard_has_the_medians_over_seeds_best_first():
    axes = panel()
    assert seeded().plot(axes, kind="leaderboard") is axes
    (dots,) = labelled(axes, "trained to the end")
    np.testing.assert_allclose(dots.get_xdata(), [0.2, 0.22, 0.4])
    assert dots.get_ydata().tolist() == [0, 1, 2]
    (star,) = labelled(axes, "best")
    np.testing.assert_allclose(star.get_xdata(), [0.2])
    bars = collection(axes, "range over seeds").get_segments()
    np.testing.assert_allclose(
        [bar[:, 0] for bar in bars[:3]], [[0.1, 0.2], [0.2, 0.3], [0.3, 0.5]]
    )
    assert axes.get_xlabel() == "validation loss"
    # The columns: one for what varies, and a word where there is no dot.
    assert {"1", "0.1", "0.01", "0.001", "learning\nrate", "diverged"} == set(
        texts(axes)
    )
    assert axes.get_title() == "grid: 4 points, 3 seeds each"


def test_a_leaderboards_count_is_how_many_rows_it_has():
    axes = panel()
    many().plot(axes, kind="leaderboard", count=None)
    assert len(axes.get_yticks()) == 64
    assert len(many().plot(kind="leaderboard").axes[0].get_yticks()) == 10
    with pytest.raises(ValueError, match=r"^plot: count must be a positive integer"):
        many().plot(kind="leaderboard", count=0)
    with pytest.raises(TypeError, match=r"^plot: .*'parallel' takes no count"):
        many().plot(kind="parallel", count=3)


def test_a_leaderboard_marks_who_was_stopped_before():
    axes = panel()
    halving().plot(axes, kind="leaderboard")
    (hollow,) = labelled(axes, "stopped before")
    np.testing.assert_allclose(
        hollow.get_xdata(), [0.25, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9], rtol=1e-6
    )
    assert hollow.get_markerfacecolor() == "white"
    assert [text for text in texts(axes) if text in ("90", "30", "4", "updates")] == [
        *("90", "30", "30", "4", "updates"),
    ]


def test_parallel_coordinates_have_an_axis_with_its_own_scale_for_each_hyperparameter():
    figure = many().plot()
    host, *axes, bar = figure.axes
    scales = [one.get_yscale() for one in axes]
    assert scales == ["log", "linear", "log", "linear", "linear", "linear", "linear"]
    places = [one.spines["right"].get_position() for one in axes]
    assert places == [("data", place) for place in range(7)]
    names = [label.get_text().replace("\n", " ") for label in host.get_xticklabels()]
    assert names == [
        *("learning rate", "momentum", "weight decay", "batch norm momentum"),
        *("layers", "dropout", "validation loss"),
    ]
    assert axes[3].get_yticks().tolist() == [0.9, 0.95, 0.99]
    assert axes[4].get_yticks().tolist() == [1, 2, 3, 4, 5, 6]
    assert bar.get_ylabel() == "validation loss"


def test_parallel_lines_go_through_the_values_and_their_colours_are_the_scores():
    found, axes = many(), panel()
    lines = found.plot(axes).collections[0]
    values = found.sweep.space.members()
    rates, momenta = np.log(values["learning_rate"]), values["momentum"]
    scores = found.sweep.validation["loss"][:, 0]
    # The best comes last, above the others.
    order = np.argsort(-scores)
    paths = np.array(lines.get_segments())
    assert paths.shape == (64, 7, 2)
    for place, of in ((0, rates), (1, momenta), (6, scores)):
        share = (of - of.min()) / (of.max() - of.min())
        np.testing.assert_allclose(paths[:, place, 1], share[order], atol=1e-6)
    np.testing.assert_allclose(lines.get_array(), scores[order])
    (best,) = labelled(axes, "best")
    np.testing.assert_allclose(best.get_ydata(), paths[-1, :, 1])
    # The axis's own ticks are where the lines say.
    twin = axes.figure.axes[1]
    at = twin.transData.transform((0, values["learning_rate"][5]))[1]
    height = axes.transData.transform((0, paths[np.flatnonzero(order == 5)[0], 0, 1]))
    assert at == pytest.approx(height[1])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_lines_are_dark_whichever_way_is_better(mode):
    found = many(mode=mode, metric="accuracy")
    lines = found.plot(panel()).collections[0]
    low, high = lines.norm.vmin, lines.norm.vmax
    best, worst = (low, high) if mode == "min" else (high, low)
    assert sum(lines.to_rgba(best)[:3]) < sum(lines.to_rgba(worst)[:3])
    assert found.best_score == pytest.approx(lines.get_array()[-1])


def test_parallel_lines_of_those_without_a_score_stop_before_its_axis():
    axes = panel()
    halving().plot(axes, kind="parallel")
    assert len(collection(axes, "dropped (7)").get_segments()) == 7
    assert len(collection(axes, "diverged (1)").get_segments()) == 1
    assert {len(path) for path in collection(axes, "dropped").get_segments()} == {1}
    assert len(collection(axes, "trained to the end (1)").get_segments()[0]) == 2
    assert set(legend_of(axes)) >= {"best", "dropped (7)", "diverged (1)"}


def test_what_all_points_share_is_named_and_has_no_axis():
    figure = seeded().plot()
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["learning\nrate", "validation\nloss"]
    assert figure.axes[0].get_xlabel() == "all: momentum 0.9"


def test_scores_far_worse_than_most_are_at_the_end_of_their_axis():
    losses = np.linspace(0.1, 0.2, 30)
    losses[7] = 1e20
    axes = panel()
    space = oc.sweep.grid(learning_rate=np.geomspace(1e-3, 1, 30))
    lines = search_of(space, losses[:, None]).plot(axes).collections[0]
    assert lines.norm.vmax == pytest.approx(0.2)
    twins = [one for one in axes.figure.axes if one is not axes]
    ticks = [label.get_text() for label in twins[1].get_yticklabels()]
    assert ticks[0] == "0.1"
    assert ticks[-1] == "\u2265 0.2"
    assert lines.cmap.colorbar_extend == "max"


def test_labels_of_many_members_and_hyperparameters_lie_beside_one_another():
    titles = many().plot()
    board = many().plot(kind="leaderboard")
    for figure in (titles, board):
        figure.draw_without_rendering()
    words = [
        [label.get_window_extent() for label in titles.axes[0].get_xticklabels()],
        [text.get_window_extent() for text in board.axes[0].texts],
    ]
    for boxes in words:
        assert len(boxes) >= 7
        for i, box in enumerate(boxes):
            assert not [other for other in boxes[:i] if box.overlaps(other)]
    inside = board.bbox.padded(1)
    assert all(inside.contains(box.x0, box.y0) for box in words[1])


def test_rungs_show_where_everybody_was_dropped():
    axes = panel()
    halving().plot(axes)
    ends = {
        label: sorted(line.get_xdata()[-1] for line in labelled(axes, label))
        for label in (
            "dropped at 10 (5)",
            "dropped at 30 (2)",
            "trained to the end (1)",
        )
    }
    # One line of each group is in the legend.
    assert ends == {
        "dropped at 10 (5)": [10],
        "dropped at 30 (2)": [30],
        "trained to the end (1)": [90],
    }
    drawn = [line.get_xdata()[-1] for line in axes.lines if line.get_label() == "_"]
    assert [drawn.count(end) for end in (10, 30)] == [4, 1]
    (best,) = labelled(axes, "best")
    assert best.get_xdata().tolist() == [10, 30, 90]
    np.testing.assert_allclose(best.get_ydata(), [0.4, 0.2, 0.1], rtol=1e-6)
    assert "diverged (1)" in legend_of(axes)


def test_rungs_are_lines_with_the_counts_of_members():
    axes = panel()
    halving().plot(axes)
    assert texts(axes) == ["9 members", "3", "1"]
    assert [text.get_position()[0] for text in axes.texts] == [10, 30, 90]
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10", "30", "90"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("updates", "validation loss")


def test_rungs_of_a_stopped_halving_end_where_it_came():
    updates = np.array([10, 10, 10, 10, 4, 10, 30, 30, 30])
    status = np.where(updates == 30, RUNNING, DROPPED)
    axes = panel()
    found = halving(updates=updates, status=status, complete=False)
    found.sweep.validation["loss"][:, 2] = NAN
    found.plot(axes)
    (best,) = labelled(axes, "best so far")
    np.testing.assert_allclose(best.get_ydata(), [0.4, 0.2], rtol=1e-6)
    assert texts(axes) == ["9 members", "3"]
    assert "not finished (3)" in legend_of(axes)


def test_rungs_over_seeds_are_medians_with_the_range_of_the_best():
    space = oc.sweep.grid(learning_rate=[0.1, 1.0], seed=[0, 1, 2])
    history = np.array([[3.0, 2.0], [1.0, NAN], [2.0, 1.0], *[[9.0, 8.0]] * 3])
    lineage = Lineage(np.array([10]), np.arange(6)[:, None], {})
    lineage = lineage._replace(
        hparams={n: np.tile(v[:, None], 2) for n, v in space.members().items()}
    )
    axes = panel()
    search_of(space, history, lineage=lineage).plot(axes, kind="rungs")
    (best,) = labelled(axes, "best")
    # One of three seeds failed: it counts as the worst.
    assert best.get_ydata().tolist() == [2.0, 2.0]
    edges = collection(axes, "range over its seeds").get_paths()[0].vertices
    assert edges[:, 1].min() == 1.0
    assert edges[:, 1].max() == 3.0


def test_a_lineage_shows_the_line_that_led_to_the_best():
    found, axes = population(), panel()
    found.plot(axes, name="learning_rate")
    (best,) = labelled(axes, "led to the best")
    # The second is best: it copied the last, which had copied the first.
    np.testing.assert_allclose(
        best.get_ydata(), [0.1, 0.1, 0.08, 0.08, 0.096, 0.096], rtol=1e-6
    )
    assert best.get_xdata().tolist() == [0, 10, 12.5, 20, 22.5, 30]
    copies = collection(axes, "go on as a copy").get_segments()
    np.testing.assert_allclose(
        copies, [[(20, 0.08), (22.5, 0.096)], [(10, 0.1), (12.5, 0.08)]]
    )
    # Nine stretches, and four times somebody went on as himself.
    assert len(collection(axes, "members").get_segments()) == 9 + 4
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("updates", "learning rate")


def test_a_lineage_has_a_panel_for_each_hyperparameter_and_one_for_the_score():
    figure = population().plot()
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["learning rate", "momentum", "validation loss"]
    assert [axes.get_yscale() for axes in figure.axes[:2]] == ["log", "linear"]
    (best,) = labelled(figure.axes[2], "led to the best")
    # Those of the first, the last and the second; copies have what they copied.
    np.testing.assert_allclose(best.get_ydata(), [0.5, 0.2, 0.1], rtol=1e-6)
    copies = collection(figure.axes[2], "go on as a copy").get_segments()
    np.testing.assert_allclose(
        copies, [[(10, 0.5), (20, 0.2)], [(20, 0.2), (30, 0.1)]], rtol=1e-6
    )
    with pytest.raises(ValueError, match=r"^plot: name must be one of .*learning_rate"):
        population().plot(name="learning_rat")


def test_a_lineage_of_a_stopped_population_ends_where_it_came():
    found = population(updates=[20, 20, 20], complete=False)
    found.sweep.validation["loss"][:, 2] = NAN
    figure = found.plot()
    (best,) = labelled(figure.axes[0], "led to the best")
    # The last is best so far.
    assert best.get_xdata().tolist() == [0, 10, 12.5, 20]
    (best,) = labelled(figure.axes[2], "led to the best")
    assert best.get_xdata().tolist() == [10, 20]


@pytest.mark.parametrize(
    ("found", "kind"),
    [(many(8), "parallel"), (halving(), "rungs"), (population(), "lineage")],
)
def test_each_method_has_a_figure_of_its_own(found, kind):
    def drawn(figure):
        return [(len(a.lines), len(a.collections), texts(a)) for a in figure.axes]

    assert drawn(found.plot()) == drawn(found.plot(kind=kind))
    assert drawn(found.plot()) != drawn(found.plot(kind="leaderboard"))


def test_a_kind_that_a_search_has_not_is_refused():
    with pytest.raises(ValueError, match=r"^plot: kind must be one of .*'lineage'"):
        many(8).plot(kind="linage")
    with pytest.raises(ValueError, match=r"'parallel', because nobody was judged, got"):
        many(8).plot(kind="lineage")
    with pytest.raises(ValueError, match=r"because members copy one another"):
        population().plot(kind="rungs")
    # A halving of one rung was never judged.
    alone = halving(lineage=None)
    assert alone.plot().axes[0].get_xlabel() == ""


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (halving, "rungs"),
        (halving, "parallel"),
        (halving, "leaderboard"),
        (population, "lineage"),
    ],
)
def test_nothing_finite_is_a_note(found, kind):
    found = found()
    found.sweep.validation["loss"][:] = NAN
    notes = [text for axes in found.plot(kind=kind).axes for text in texts(axes)]
    assert notes.count("no finite loss to draw") == 1
    found.sweep.validation.clear()  # stopped before the first evaluation
    notes = [text for axes in found.plot(kind=kind).axes for text in texts(axes)]
    assert notes.count("no finite loss to draw") == 1


@pytest.mark.parametrize("kind", ["leaderboard", "parallel", "rungs", "lineage"])
def test_one_member_is_enough(kind):
    lineage = Lineage(
        np.array([10]), np.zeros((1, 1), int), {"layers": np.full((1, 2), 3)}
    )
    found = search_of(oc.sweep.grid(layers=[3]), [[0.5, 0.0]], lineage=lineage)
    found.plot(kind=kind).draw_without_rendering()


@pytest.mark.parametrize("kind", [None, "leaderboard", "rungs", "lineage"])
def test_seeds_of_one_point_are_enough(kind):
    seeds = np.tile(np.arange(3)[:, None], 2)
    lineage = Lineage(np.array([10]), seeds[:, :1], {"seed": seeds})
    history = [[0.5, 0.1], [0.5, 0.2], [0.5, 0.4]]
    found = search_of(oc.sweep.grid(seed=[0, 1, 2]), history, lineage=lineage)
    found.plot(kind=kind).draw_without_rendering()
    found.plot(panel(), kind=kind)
    assert "validation loss 0.2" in cells(found._repr_html_())
    with pytest.raises(ValueError, match=r"because there is no hyperparameter"):
        found.plot(kind="parallel")


def test_axes_have_the_scale_on_which_values_are_spread_evenly():
    rng = np.random.default_rng(0)
    for count in (8, 30, 300):
        even = rng.uniform(0, 1, count)
        assert scale_by(even) == "linear"
        ratios = 10 ** rng.uniform(-4, 0, count)
        assert scale_by(ratios) == "log"
        assert scale_by(np.append(ratios, 0.0)) == "symlog"
        assert scale_by(np.append(ratios, -1.0)) == "linear"
    assert scale_by(np.array([0.01, 1.0])) == "log"
    assert scale_by(np.array([0.9, 0.99])) == "linear"
    assert scale_by(np.array([0.0])) == "linear"


def test_limits_leave_out_only_what_is_far_worse():
    assert limits_by(np.array([1.0, 2.0, 3.0, 1e9, NAN]), "min") == (1.0, 3.0)
    assert limits_by(np.array([0.9, 0.8, 0.7, 0.85, -50.0]), "max") == (0.7, 0.9)
    assert limits_by(np.array([0.1, 0.2, 0.5]), "min") == (0.1, 0.5)
    assert limits_by(np.array([0.3]), "max") == (0.3, 0.3)


def cells(html):
    return re.findall(r"<t[dh]>(.*?)</t[dh]>", html)


def test_a_table_has_the_method_the_cost_the_best_and_who_follows():
    found = cells(halving()._repr_html_())
    assert dict(zip(found[:8:2], found[1:8:2], strict=True)) == {
        "method": "successive halving",
        "members": "9: 1 finished, 1 diverged, 7 dropped",
        "cost": "204 updates, 25% of 810",
        "best": "learning_rate 0.1: validation loss 0.1",
    }
    board = np.array(found[8:]).reshape(6, 4).tolist()
    assert board[0] == ["rank", "loss", "updates", "learning_rate"]
    assert [row[1] for row in board[1:]] == ["0.1", "0.25", "0.3", "0.5", "0.6"]


def test_a_table_over_seeds_has_medians_and_ranges():
    found = cells(seeded()._repr_html_())
    assert "0.2 (0.1 to 0.2)" in found
    assert "learning_rate 0.1, momentum 0.9: validation loss 0.2" in found


def test_a_table_escapes_what_users_name():
    space = oc.sweep.Space((oc.sweep.Axis("a", {"<b>": np.array([1.0, 2.0])}),))
    html = search_of(space, [[1.0], [2.0]], metric="<i>")._repr_html_()
    assert "&lt;b&gt;" in html
    assert "&lt;i&gt;" in html
    assert "<b>" not in html
    assert "<i>" not in html


def test_a_table_without_an_evaluation_says_what_is_known():
    found = halving(complete=False)
    found.sweep.validation.clear()
    assert cells(found._repr_html_())[-2:] == ["cost", "204 updates, 25% of 810"]


def static():
    points = [{"optimizer": name, "width": 32} for name in ("sgd", "<adam>", "lion")]
    return StaticResult(tuple(points), (halving(), seeded()), "loss", "min")


def test_static_points_are_rows_with_their_scores_and_the_best_of_each():
    axes = panel()
    assert static().plot(axes) is axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "sgd, width 32\n1 of 9 to the end",
        "<adam>, width 32\n3 of 4 to the end",
        "lion, width 32\nnot searched",
    ]
    (dots,) = labelled(axes, "trained to the end")
    np.testing.assert_allclose(sorted(dots.get_xdata()), [0.22, 0.4])
    assert np.rint(dots.get_ydata()).tolist() == [1, 1]
    (bests,) = labelled(axes, "best of a row")
    np.testing.assert_allclose(bests.get_xydata(), [[0.1, 0], [0.2, 1]], rtol=1e-6)
    (star,) = labelled(axes, "best")[-1:]
    np.testing.assert_allclose(star.get_xydata(), [[0.1, 0]], rtol=1e-6)
    assert axes.get_xlabel() == "validation loss"


def test_static_points_without_a_finite_score_are_rows_with_a_note():
    found = static()
    for result in found.results:
        result.sweep.validation["loss"][:] = NAN
    axes = found.plot().axes[0]
    assert texts(axes) == ["no finite loss to draw"]
    assert len(axes.get_yticks()) == 3
    assert "best" not in found._repr_html_()


def test_a_static_table_has_the_best_of_all_searches():
    html = static()._repr_html_()
    assert "<adam>" not in html
    found = cells(html)
    assert found[:8] == [
        *("optimizer", "sgd, &lt;adam&gt;, lion", "width", "32"),
        *("points", "2 of 3 searched", "cost", "324 updates"),
    ]
    assert found[9] == "optimizer sgd, width 32, learning_rate 0.1: validation loss 0.1"
    # One of the searches has momentum, and none of them a cell with a seed.
    assert found[10:18] == [
        *("rank", "optimizer", "width", "loss"),
        *("updates", "status", "learning_rate", "momentum"),
    ]
    assert found[18:26] == ["1", "sgd", "32", "0.1", "90", "ended", "0.1", ""]


def test_what_a_search_found_can_be_drawn():
    problem = oc.problem_from_loss(
        lambda key: jnp.ones(2), lambda p, batch, key: jnp.sum((batch @ p) ** 2)
    )
    train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
    data = jnp.eye(2)
    found = oc.search.successive_halving(
        *(train, {"learning_rate": np.linspace(0.01, 0.09, 9)}, data, 18),
        **{"key": jax.random.key(0), "validation": data, "batch_size": 2, "first": 2},
    )
    axes = panel()
    found.plot(axes)
    (best,) = labelled(axes, "best")
    # Each update is x <- (1 - 2 rate) x.
    rate = found.best()["learning_rate"]
    expected = 2 * (1 - 2 * rate) ** (2 * np.array([2, 6, 18]))
    np.testing.assert_allclose(best.get_ydata(), expected, rtol=1e-4)
    assert texts(axes) == ["9 members", "3", "1"]
