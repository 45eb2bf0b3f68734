"""The pages of the documentation are complete, and what they show is so."""

import inspect
import re
import runpy
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

DOCS = Path(__file__).parents[1] / "docs"
PEERS = (DOCS / "peers.md").read_text()
NAMES = {"oc": oc, "jnp": jnp, "optax": optax} | {
    "lr": 0.1,
    "N": 1000,
    "W": 100,
    "T": 50,
}

# All that computes a schedule, and where the page shows it.
SYSTEMS = {
    "PyTorch": "CyclicLR OneCycleLR CosineAnnealingWarmRestarts ReduceLROnPlateau"
    " StepLR MultiStepLR ConstantLR LinearLR ExponentialLR PolynomialLR SequentialLR"
    " ChainedScheduler CosineAnnealingLR LambdaLR",
    "Optax": "inject_hyperparams",
    "transformers": '"constant" "constant_with_warmup" "linear" "cosine" "polynomial"'
    ' "cosine_with_restarts" "inverse_sqrt" "cosine_with_min_lr" "warmup_stable_decay"'
    ' "cosine_warmup_with_min_lr" "reduce_lr_on_plateau"',
    "keras and TensorFlow": "ExponentialDecay PiecewiseConstantDecay PolynomialDecay"
    " InverseTimeDecay CosineDecay CosineDecayRestarts natural_exp_decay bckenstler"
    " inverse_time_decay linear_cosine_decay titu1994",
    "timm": "CosineLRScheduler TanhLRScheduler PolyLRScheduler WSDLRScheduler"
    " cycle_limit",
    "fastai": "fit_one_cycle fit_flat_cos fit_sgdr",
    "Others": "Smith nachiket273 mpyrozhok ildoonet Tensor2Tensor NoamOpt big_vision",
}
# A bar inside a cell would end it, so cells hold none.
ROWS = re.findall(r"^\| (?!`?\w+`? \| here)(?!---)(.+?) \| (.*`.+) \|$", PEERS, re.M)


def _calls(cell):
    return [code for code in re.findall(r"`([^`]+)`", cell) if "oc." in code]


CALLS = [code for _, cell in ROWS for code in _calls(cell)]


def test_every_peer_has_a_row():
    for section, systems in SYSTEMS.items():
        (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PEERS, re.M | re.S)
        rows = [line for line in text.splitlines() if line.startswith("|")]
        for system in systems.split(" "):
            assert any(system in row.split(" | ")[0] for row in rows), system
    assert all(_calls(cell) for _, cell in ROWS)


def test_every_schedule_of_optax_has_a_row():
    ours = {name for name in vars(optax.schedules) if name.endswith("_schedule")}
    left = " ".join(peer for peer, _ in ROWS)
    assert {name for name in ours if name not in left} == set()


@pytest.mark.parametrize("code", list(dict.fromkeys(CALLS)))
def test_the_call_of_every_row_works(code):
    made = eval(code, NAMES)
    if isinstance(
        made, optax.GradientTransformation | optax.schedules.StatefulSchedule
    ):
        return
    policy = made if isinstance(made, Mapping) else {"learning_rate": made}
    for schedule in policy.values():
        values = jax.eval_shape(schedule, jnp.arange(3))
        assert values.shape == (3,)


OPTAX = [
    (peer[1:-1], _calls(cell)[0])
    for peer, cell in ROWS
    if "schedule(" in peer or peer.startswith("`exponential_decay(lr")
]


@pytest.mark.parametrize(("theirs", "ours"), OPTAX)
def test_the_twins_of_optax_have_its_values(theirs, ours):
    steps = np.arange(0, 1050, 7)
    expected = jax.jit(jax.vmap(eval(f"optax.{theirs}", NAMES)))(steps)
    found = jax.jit(eval(ours, NAMES))(steps)
    # Theirs subtracts in float32: a rounding of the peak where the value is small.
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-8)


def _own():
    code = re.findall(
        r"```python\n(.*?)```", (DOCS / "own-schedule.md").read_text(), re.S
    )
    return next(block for block in code if "def sawtooth" in block)


def test_a_schedule_of_ones_own_is_five_lines():
    (body,) = re.findall(r"^def sawtooth.*\n((?:    .*\n|\n)+)", _own(), re.M)
    assert len(body.split("\n\n\n")[0].replace("\n\n", "\n").splitlines()) == 5
    names = {}
    exec(_own(), names)
    sawtooth = names["sawtooth"]
    steps = np.asarray([0, 1, 6, 7, 2**24 + 1, 2**31 - 1], np.int32)
    expected = 3.0 - 2.0 * (steps % 7) / 7
    for run in (sawtooth(1.0, 3.0, 7), jax.jit(sawtooth(1.0, 3.0, 7))):
        np.testing.assert_allclose(run(steps), expected, rtol=1e-6)
    traced = jax.jit(lambda low, high, n: sawtooth(low, high, n)(steps))
    np.testing.assert_allclose(traced(1.0, 3.0, 7), expected, rtol=1e-6)


GALLERY = runpy.run_path(str(DOCS / "gallery.py"))


def public(kinds):
    """The public functions that say that they return one of `kinds`."""
    return {
        name
        for name, value in vars(oc).items()
        if inspect.isfunction(value) and value.__annotations__.get("return") in kinds
    }


def test_the_gallery_has_every_schedule_policy_and_shape():
    kinds = {"Schedule", "Policy", "MetricSchedule", "Shape"}
    called = set(re.findall(r"oc\.(\w+)\(", " ".join(GALLERY["images"]().values())))
    assert called == public(kinds) | {"scale_by_plateau"}
    from optax_cycles.schedules._shapes import SHAPES

    shapes = re.findall(r"shape='(.+?)'", " ".join(GALLERY["images"]().values()))
    assert set(shapes) == set(SHAPES)


def test_the_gallery_was_drawn_from_its_script():
    assert (DOCS / "gallery.md").read_text() == GALLERY["page"]()
    drawn = {path.name: path.stat().st_size for path in GALLERY["IMAGES"].iterdir()}
    assert set(drawn) == set(GALLERY["images"]())
    assert sum(drawn.values()) < 1_000_000


@pytest.mark.parametrize(
    "call", ["oc.reduce_on_plateau(0.1, patience=20, factor=0.5)", "oc.noam(512, 40)"]
)
def test_images_are_drawn_again_alike(call, tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    name = next(n for n, found in GALLERY["images"]().items() if found == call)
    with matplotlib.rc_context(GALLERY["STYLE"]):
        GALLERY["draw"](call, tmp_path / "again.svg")
    again = (tmp_path / "again.svg").read_text()
    assert re.findall(r"<text[^>]*>([^<]+)", again) == re.findall(
        r"<text[^>]*>([^<]+)", (GALLERY["IMAGES"] / name).read_text()
    )


def test_the_reference_has_every_schedule_and_policy():
    schedules = (DOCS / "schedules.md").read_text()
    policies = (DOCS / "policies.md").read_text()
    listed = set(re.findall(r"^::: optax_cycles\.(\w+)$", schedules + policies, re.M))
    expected = public({"Schedule", "Policy", "MetricSchedule", "Shape"})
    expected |= {"scale_by_plateau", "cycle_starts"}
    expected |= {"inject", "current_hyperparams", "set_hyperparams"}
    assert listed == expected


def test_every_page_is_in_the_navigation():
    nav = (DOCS.parent / "zensical.toml").read_text()
    assert [p.name for p in DOCS.glob("*.md") if f'"{p.name}"' not in nav] == []
