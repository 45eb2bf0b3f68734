"""A study's database is Optuna's: anybody reads it, and a killed search goes on."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from studies import SPACE, search

from optax_cycles.sweep import Status

pytestmark = pytest.mark.slow

optuna = pytest.importorskip("optuna")
pytest.importorskip("sqlalchemy")

HORIZONS = [5, 10]

# No word of this package in it.
READER = """
    import json, sys, warnings
    import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="one", storage=sys.argv[1])
    frame = study.trials_dataframe()
    fanova = optuna.importance.FanovaImportanceEvaluator(seed=0)
    print(json.dumps({
        "direction": study.direction.name,
        "columns": sorted(frame.columns),
        "updates": frame["user_attrs_updates"].tolist(),
        "best": [study.best_value, study.best_params],
        "importances": optuna.importance.get_param_importances(
            study, evaluator=fanova),
        "trials": [
            [t.number, t.state.name, t.value, t.params, t.user_attrs,
             sorted(t.intermediate_values.items()), t.duration.total_seconds()]
            for t in study.trials
        ],
        "attributes": study.user_attrs,
        "ours": [name for name in sys.modules if "optax_cycles" in name],
    }))
"""

KILLED = """
    import sys, time
    sys.path.insert(0, {tests!r})
    import optuna
    from studies import search
    study = optuna.create_study(
        storage=sys.argv[1], study_name="one", load_if_exists=True)
    study.sampler = optuna.samplers.RandomSampler(seed=len(study.trials))
    def progress(now):
        print(len(study.trials), now.done, flush=True)
        time.sleep(0.1)
    search(study=study, trials=12, batch=4, segment=5, progress=progress)
"""


def script(text, *arguments, **format_of):
    code = textwrap.dedent(text)
    code = code.format(**format_of) if format_of else code
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A search whose study is in a database, and what another program reads there."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('study') / 'study.db'}"
    study = optuna.create_study(
        storage=storage,
        study_name="one",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=0),
    )
    found = search(study=study, horizons=HORIZONS, trials=24, batch=8)
    command = script(READER, storage)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return found, json.loads(done.stdout)


def test_another_program_reads_every_state_value_and_attribute(kept):
    found, read = kept
    assert read["ours"] == []
    assert read["direction"] == "MINIMIZE"
    points, curves = found.sweep.space.members(), found.sweep.validation["loss"]
    expected = {
        Status.RUNNING: "COMPLETE",
        Status.DROPPED: "PRUNED",
        Status.DIVERGED: "FAIL",
    }
    assert {trial[1] for trial in read["trials"]} == set(expected.values())
    for number, state, value, params, attributes, curve, seconds in read["trials"]:
        assert seconds > 0
        assert state == expected[found.sweep.status[number]]
        assert attributes == {"updates": found.sweep.updates[number]}
        for name in SPACE:
            assert params[name] == pytest.approx(points[name][number])
        known = np.isfinite(curves[number])
        steps = found.sweep.horizons[known].tolist()
        assert [step for step, _ in curve] == steps
        np.testing.assert_allclose([v for _, v in curve], curves[number][known])
        if state == "FAIL":
            assert value is None
        else:
            assert value == pytest.approx(curves[number][known][-1])
    assert read["best"][0] == pytest.approx(found.best_score)
    assert read["best"][1] == pytest.approx(found.best())


def test_optunas_own_tables_and_importances_are_made_of_it(kept):
    found, read = kept
    columns = {f"params_{name}" for name in SPACE}
    assert columns | {"value", "state", "user_attrs_updates"} <= set(read["columns"])
    assert read["updates"] == found.sweep.updates.tolist()
    assert set(read["importances"]) == set(SPACE)
    assert sum(read["importances"].values()) == pytest.approx(1.0)
    # The rate goes over six decades.
    assert max(read["importances"], key=read["importances"].get) == "learning_rate"


@pytest.mark.slow
def test_a_killed_process_goes_on_to_exactly_as_many_trials(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    command = script(KILLED, storage, tests=os.path.dirname(__file__))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        # The first batch of 4 trials has made its 20 updates, the second 10.
        lines = iter(process.stdout.readline, "")
        assert any(line.split() == ["8", str(4 * 20 + 4 * 10)] for line in lines)
        os.kill(process.pid, signal.SIGKILL)
    left = optuna.load_study(study_name="one", storage=storage).trials
    assert [trial.state.name for trial in left[4:]] == ["RUNNING"] * 4
    subprocess.run(command, check=True, capture_output=True)
    trials = optuna.load_study(study_name="one", storage=storage).trials
    cut = trials[4:8]
    assert [(t.state.name, t.user_attrs) for t in cut] == [("FAIL", {})] * 4
    trained = [trial for trial in trials if trial not in cut]
    assert len(trained) == 12
    assert all(t.state.is_finished() and t.user_attrs["updates"] for t in trained)
    # What was cut off came again, and nothing twice.
    assert [t.params for t in trials[8:12]] == [t.params for t in cut]
    assert len({tuple(trial.params.values()) for trial in trained}) == 12
