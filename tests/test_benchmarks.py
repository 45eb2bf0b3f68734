"""The benchmarks run at tiny size and write what the table is made of."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import optax_cycles as oc

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
ROW = {"work", "against", "value", "unit", "goal", "at_most", "note", "reached"}

pytestmark = pytest.mark.slow


def run(script, *arguments):
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def quick(name, folder, *arguments):
    printed = run(f"{name}.py", "--quick", "--results", folder, *arguments)
    result = json.loads((folder / f"{name}.json").read_text())
    assert result["benchmark"] == name
    assert {"date", "cpu", "cores", "load", "versions"} <= set(result["environment"])
    assert result["rows"]
    assert all(set(row) == ROW for row in result["rows"])
    assert all(row["work"] in printed for row in result["rows"])
    return result


def test_sweep_mlp_compares_its_sides_and_names_those_not_run(tmp_path):
    sides = ["engine", "vmap", "gemm"]
    result = quick("sweep_mlp", tmp_path, "--rounds", 2, "--sides", *sides)
    assert set(result["sides"]) == set(sides)
    assert {"us", "us_10_segments", "compile"} <= set(result["sides"]["engine"])
    assert len(result["sides"]["engine"]["us"]) == 2
    rows = {row["against"]: row for row in result["rows"]}
    assert rows["torch bare loop"]["reached"] is None
    assert rows["torch bare loop"]["note"] == "not run"
    assert rows["jit(vmap(scan)), one device"]["value"]["median"] > 0
    assert 0 < rows["float32 GEMM rate"]["value"]["median"] < 100


def test_cold_start_says_where_the_time_goes(tmp_path):
    result = quick("cold_start", tmp_path, "--rounds", 1, "--sides", "ours")
    ours = {name: values[0] for name, values in result["sides"]["ours"].items()}
    parts = ("python", "imports", "data", "compile", "init", "train", "evaluate")
    known = sum(ours[part] for part in parts) + ours["other"]
    assert all(ours[part] >= 0 for part in parts)
    assert known <= ours["process"]


def test_schedules_times_every_schedule_in_a_train_step_and_alone(tmp_path):
    result = quick("schedules", tmp_path)
    assert set(result["train_step"]) == set(result["loop"])
    assert len(result["loop"]) > 30
    assert all(found["traces"] == 1 for found in result["loop"].values())
    for found in result["train_step"].values():
        more = 100 * (found["ours"] / found["constant"] - 1)
        assert found["more"] == pytest.approx(more)


def test_convolution_compares_matrix_products_with_lax(tmp_path):
    result = quick("convolution", tmp_path, "--rounds", 1)
    rows = {row["against"]: row for row in result["rows"]}
    assert rows["jit(vmap(scan))"]["value"]["median"] > 0
    assert {"us_matmul", "us_plain"} <= set(result["sides"]["vmap"])


@pytest.fixture(scope="module")
def worth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worth")
    return folder, quick("worth", folder)


def test_worth_compares_on_fresh_seeds(worth):
    _, result = worth
    (case,) = result["cases"]
    assert case["suggestion"]["best"] in case["holds"]["grid"]
    for name in ("in_sample", "fresh"):
        ratio = case["holds"][name]
        assert 1 <= ratio["low"] <= ratio["high"]
    assert case["holds"]["in_sample"]["median"] == 1
    assert {"one_cycle", "constant", "difference"} == set(case["accuracy"])


def test_table_rewrites_only_what_is_between_the_markers(worth, tmp_path):
    folder, _ = worth
    readme = tmp_path / "README.md"
    readme.write_text(
        "first\n<!-- table: start -->\nstale\n<!-- table: end -->\nlast\n"
    )
    arguments = ("--results", folder, "--readme", readme)
    run("table.py", *arguments)
    once = readme.read_text()
    run("table.py", *arguments)
    assert readme.read_text() == once
    assert once.startswith("first\n<!-- table: start -->\n")
    assert once.endswith("\n<!-- table: end -->\nlast\n")
    assert "| digits, mlp, momentum |" in once
    assert "stale" not in once
    assert "### `sweep_mlp.py`\n\nNo result" in once


def test_table_refuses_a_file_without_markers(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("no markers")
    command = [sys.executable, str(BENCHMARKS / "table.py"), "--readme", str(readme)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "once each" in done.stderr
    assert readme.read_text() == "no markers"


def test_optimizers_compares_time_memory_and_passes_with_optax(tmp_path):
    result = quick("optimizers", tmp_path)
    assert {"sgdw", "adamw"} <= set(result["cases"])
    arrays = result["settings"]["arrays"]
    for name, found in result["cases"].items():
        copies = {len(found["seconds"][side]) for side in ("ours", "peer")}
        assert copies == {result["settings"]["copies"]}
        # Parameters, gradients and state, and nothing else of that size.
        held = 2 if name.startswith("adamw") else 1
        least = 4 * result["settings"]["parameters"] * (2 + held)
        for side in ("ours", "peer"):
            assert least <= found[side]["memory"] < 1.1 * least
            assert arrays <= found[side]["passes"]["arrays"] <= (1 + held) * arrays


def test_devices_compares_with_one_device(tmp_path):
    result = quick("devices", tmp_path, "--rounds", 1, "--sides", "1", "2", "4x2")
    assert [row["work"].split(",")[1].split()[0] for row in result["rows"]] == [
        "2",
        "4x2",
    ]
    assert all(row["value"]["median"] > 0 for row in result["rows"])


def test_crossover_times_both_placements_and_draws_them(tmp_path):
    figure = tmp_path / "images" / "crossover.png"
    result = quick("crossover", tmp_path, "--figure", figure)
    assert figure.read_bytes().startswith(b"\x89PNG")
    members, rounds = result["settings"]["members"], result["settings"]["rounds"]
    assert set(result["models"]) == set(result["settings"]["models"])
    for found in result["models"].values():
        for placement in ("map", "vmap"):
            times = found[placement]
            assert [len(one) for one in times] == [rounds] * len(members)
            assert all(time > 0 for one in times for time in one)
    for row in result["rows"]:
        # Nothing is faster than the faster one.
        assert row["value"]["median"] >= 1


def test_sweep_memory_counts_parameters_state_and_temporaries(tmp_path):
    result = quick("sweep_memory", tmp_path, "--rounds", 1)
    size, sides = result["settings"], result["sides"]
    width = size["width"]
    parameters = 64 * width + width + width**2 + width + 10 * width + 10
    for placement in ("map", "vmap"):
        found = {name: values[0] for name, values in sides[placement].items()}
        assert found["parameters"] == parameters
        # Parameters, both moments and the count.
        assert found["held"] == 3 * 4 * parameters + 4
        assert found["needed"] > size["members"] * found["held"]
        assert found["programs"] > size["members"] * found["held"]
    for members in (size["chunk"], *size["many"]):
        assert sides[str(members)]["peak"][0] > 0
    assert len(result["rows"]) == 4 + len(size["many"])


def test_sweep_gpu_names_the_device_that_it_ran_on(tmp_path):
    result = quick("sweep_gpu", tmp_path)
    device = result["settings"]["device"]
    mlp, cnn = result["rows"]
    assert device in mlp["work"]
    assert device in cnn["work"]
    one, everyone = (result["sides"]["cnn"][name] for name in ("one", "all"))
    count = result["settings"]["cnn"]
    ratios = sorted(count * a / b for a, b in zip(one, everyone, strict=True))
    assert cnn["value"]["low"] == pytest.approx(ratios[0])
    assert cnn["value"]["high"] == pytest.approx(ratios[-1])


def test_regret_compares_finders_with_a_truth_that_they_never_saw(tmp_path):
    page = tmp_path / "regret.md"
    page.write_text("text\n<!-- table: start -->\nstale\n<!-- table: end -->\n")
    figure = tmp_path / "regret.png"
    arguments = ("--curves", tmp_path / "curves", "--figure", figure, "--page", page)
    result = quick("regret", tmp_path, *arguments)
    assert figure.read_bytes().startswith(b"\x89PNG")
    written = page.read_text()
    assert written.startswith("text\n")
    assert "stale" not in written
    size = result["settings"]["size"]
    for task, truth in result["truths"].items():
        # The best rate is within the grid, and learns.
        medians = truth["medians"]
        assert min(medians) == pytest.approx(truth["best_loss"], rel=0.2)
        assert medians[0] > 1.5 * truth["best_loss"]
        assert medians[-1] > 1.5 * truth["best_loss"]
        for name, found in result["tasks"][task].items():
            assert name in written
            known = [rate for rate in found["rates"] if rate is not None]
            assert len(found["regrets"]) == len(known)
            # Nothing is better than the best rate by more than its noise.
            assert all(regret > -0.2 for regret in found["regrets"])
    full = result["finders"][f"parallel_best, {size['values']} x {size['seeds']} x 300"]
    assert full["updates"] == size["values"] * size["seeds"] * 300
    trained = sorted((tmp_path / "curves").iterdir())
    dates = [path.stat().st_mtime_ns for path in trained]
    again = quick("regret", tmp_path, *arguments)
    assert again["finders"] == result["finders"]
    assert [path.stat().st_mtime_ns for path in trained] == dates


def test_which_learning_rate_extrapolates_a_sample_of_the_runs(tmp_path):
    sides = ["--sides", "ours", "torch"]
    result = quick("which_learning_rate", tmp_path, "--rounds", 1, *sides)
    faster, wall, gpu = result["rows"]
    ours, torch = (result["sides"][side] for side in sides[1:])
    assert faster["value"]["median"] == torch["seconds"][0] / ours["seconds"][0]
    assert wall["value"]["median"] == ours["seconds"][0] > ours["compile"][0] > 0
    assert (gpu["value"], gpu["note"]) == (None, "not run")


def test_searches_are_scored_on_data_and_seeds_that_none_has_seen(tmp_path):
    page = tmp_path / "search.md"
    page.write_text("text\n<!-- table: start -->\nstale\n<!-- table: end -->\n")
    result = quick("searches", tmp_path, "--page", page)
    written = page.read_text()
    assert "stale" not in written
    size, (found,) = result["settings"], result["cases"]
    methods = found["methods"]
    assert methods["random"]["updates"] == size["points"] * size["steps"]
    ranks = [of["rank"] for of in methods.values()]
    assert sum(ranks) == pytest.approx(len(ranks) * (len(ranks) + 1) / 2)
    for name, of in methods.items():
        assert f"| {name} |" in written
        assert len(of["regrets"]) == size["seeds"]
        # No score is above that of a network that knows nothing.
        scores = found["best_score"] * (1 + np.array(of["regrets"]))
        assert np.all((scores > 0) & (scores <= np.log(10) * 1.0001))
    random = 1 + np.array(methods["random"]["regrets"])
    for row in result["rows"]:
        of = methods[row["work"].removeprefix("digits, mlp, ")]
        ratio = np.mean(1 + np.array(of["regrets"])) / random.mean()
        assert row["value"]["median"] == pytest.approx(ratio)


def test_tune_is_compared_at_one_budget_on_data_and_seeds_of_its_own(tmp_path):
    page = tmp_path / "tune.md"
    page.write_text("text\n<!-- table: start -->\nstale\n<!-- table: end -->\n")
    arguments = ("--page", page, "--cases", tmp_path / "cases")
    result = quick("tune_worth", tmp_path, *arguments)
    written = page.read_text()
    assert "stale" not in written
    size, (found,) = result["settings"], result["cases"]
    budget = size["trainings"] * size["steps"]
    ours = np.log(found["methods"]["sgdw: tune"]["scores"])
    for method, of in found["methods"].items():
        assert f"| {method} |" in written
        # What diverged is untrained, and what searches spends no more than the budget.
        assert len(of["scores"]) == size["searches"]
        assert 0 < max(of["scores"]) <= found["untrained"]
        searches = "default" not in method and method not in size["free"]
        assert 0.8 * budget <= of["updates"] <= 1.1 * budget or not searches
    for row in result["rows"]:
        ratio = np.exp(
            np.mean(ours - np.log(found["methods"][row["against"]]["scores"]))
        )
        assert row["value"]["median"] == pytest.approx(ratio)
    (case,) = (tmp_path / "cases").iterdir()
    date = case.stat().st_mtime_ns
    again = quick("tune_worth", tmp_path, *arguments)
    assert (again["cases"], case.stat().st_mtime_ns) == (result["cases"], date)


def test_tune_is_worse_only_where_all_searches_say_so(module):
    rng = np.random.default_rng(0)
    base = 1 + 0.02 * rng.random((2, 5))
    cases = [
        {
            "task": task,
            "methods": {
                "ours": {"scores": (base[place] * factor).tolist()},
                "other": {"scores": (base[place] * rng.normal(1, 0.01, 5)).tolist()},
            },
        }
        for place, (task, factor) in enumerate({"like": 1.0, "worse": 1.1}.items())
    ]
    compared = module("_tune_page").Compared(cases)
    assert compared.worse("ours", "other") == ["worse"]
    assert compared.worse("other", "ours") == []
    _, other = compared.ratios()
    assert other[1] == 1.0
    assert compared.ranks().sum() == pytest.approx(3.0)


def test_the_average_of_schedule_free_is_what_is_scored(module):
    """Its parameters are where gradients are taken, not what it has learned."""
    free, tasks, methods = (
        module(name) for name in ("_tune_free", "_tune_tasks", "_tune_methods")
    )
    task = tasks.task_of("regression-mlp")
    size = methods.Size(("regression-mlp",), steps=5)
    found = free.losses_of("schedule_free_adamw", task, np.array([3]), size)
    swept = oc.sweep.run(
        oc.trainable(task.problem, lambda _: optax.contrib.schedule_free_adamw()),
        {"seed": [3]},
        task.train,
        size.steps,
        key=jax.random.key(10_000),
        batch_size=16,
        validation=task.validation,
        keep_state=True,
    )
    state = swept.state_of("test", 0)
    # x of y = (1 - b1) z + b1 x, from A. Defazio et al. (2024), equation 3.
    average = jax.tree.map(
        lambda y, z: (y - 0.1 * z) / 0.9, state.params, state.opt_state.z
    )
    expected = task.problem.evaluate(average, (), task.validation)["held_out"]
    np.testing.assert_allclose(found, [expected], rtol=1e-4)


def test_a_schedule_is_replayed_in_pieces(module):
    """The scores of a population's history are those of its policy."""
    searches = module("_searches")
    size = searches.QUICK._replace(steps=12)
    task = searches.task_of("mlp")
    edges = searches.edges_of(size)
    rng = np.random.default_rng(0)
    pieces = {
        "learning_rate": rng.uniform(0.01, 0.1, len(edges) + 1),
        "momentum": rng.uniform(0.5, 0.9, len(edges) + 1),
        "weight_decay": rng.uniform(1e-4, 1e-2, len(edges) + 1),
    }
    policy = {
        name: oc.piecewise_constant(edges.tolist(), values.tolist())
        for name, values in pieces.items()
    }
    direct = oc.sweep.run(
        oc.trainable(
            task.problem,
            lambda hp: oc.sgdw(
                policy["learning_rate"],
                policy["momentum"],
                weight_decay=policy["weight_decay"],
            ),
        ),
        {"seed": [3]},
        task.train,
        size.steps,
        key=jax.random.key(10_000),
        batch_size=searches.BATCH,
        validation=task.validation,
    )
    found = searches.losses_of(task, [pieces], np.array([3]), size)
    for name, losses in found.items():
        expected = direct.validation[name][:, -1]
        np.testing.assert_allclose(losses[0], expected, rtol=1e-5)


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def test_a_regret_is_the_loss_over_that_of_the_best_rate(module):
    rates = np.geomspace(1e-3, 1.0, 7)
    medians = np.array([4.0, 3.0, 2.0, 1.0, 1.5, np.nan, 9.0])
    curves = {
        "rates": rates,
        # Untrained at 4, then five evaluations; four seeds alike.
        "truth": np.broadcast_to(medians[:, None, None], (7, 4, 6)).copy(),
    }
    curves["truth"][..., 0] = 4.0
    truth = module("_truth").Truth(curves)
    assert (truth.best, truth.margin, truth.untrained) == (3, 3, 4.0)
    # What failed or ends higher than it began is not trained.
    for rate, loss in zip(rates, [4.0, 3.0, 2.0, 1.0, 1.5, 4.0, 4.0], strict=True):
        regret = truth.regret(rate)
        assert regret.relative == pytest.approx(loss - 1)
        assert regret.share == pytest.approx((loss - 1) / 3)
        assert regret.in_sample == pytest.approx(loss - 1)
    between = truth.regret((rates[2] * rates[3]) ** 0.5).relative
    assert between == pytest.approx(2**0.5 - 1)
    assert truth.regret(1e-9).relative == pytest.approx(3.0)


def test_lightnings_average_is_debiased_by_one_update_too_many(module):
    losses = np.random.default_rng(0).normal(size=50) + 3
    average, expected = 0.0, []
    for number, loss in enumerate(losses, 1):
        average = 0.98 * average + 0.02 * loss
        expected.append(average / (1 - 0.98 ** (number + 1)))
    found = module("_finders").lightning_average(losses)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_ramp_of_the_benchmark_is_that_of_ramp_range_test(module):
    curves, tasks = module("_curves"), module("_tasks")
    task = tasks.PROBLEMS["regression-mlp"]()
    ramp = curves.Ramp(1e-4, 1e-2, 12, 12)
    members = curves.ramps([ramp], np.arange(2))
    trainable = curves.trainable_of(task, "momentum")
    losses, _, _ = curves.train(trainable, members, task, (12,))
    plain = oc.trainable(
        task.problem, lambda hp: optax.sgd(hp["learning_rate"], momentum=0.9)
    )
    test = oc.ramp_range_test(
        plain, task.train, low=1e-4, high=1e-2, steps=12, seeds=2, batch_size=16
    )
    np.testing.assert_allclose(ramp.rates, test.values, rtol=1e-12)
    np.testing.assert_allclose(losses, test.losses, rtol=1e-4)
