"""What an installed package does with its core dependencies alone.

Run it with the environment's own Python, in an empty folder outside the repository.
"""

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optax_cycles as oc
from optax_cycles.plot import plot_schedules
from optax_cycles.problems import digits

PACKAGE = Path(oc.__file__).parent
COMMAND = str(Path(sys.executable).parent / "optax-cycles")
rng = np.random.default_rng(0)
X = rng.normal(size=(96, 4)).astype(np.float32)
Y = X @ np.array([1.0, -1.0, 2.0, 0.5], np.float32)
TRAIN, VALIDATION = (X[32:], Y[32:]), (X[:32], Y[:32])
# The inputs are nearly white: rates above 1 diverge at once, those near 0.1 train.
RATES = oc.sweep.log_space(1e-3, 10.0, 9)


def loss(w: jax.Array, batch: tuple[jax.Array, jax.Array], _: jax.Array) -> jax.Array:
    """Mean squared residual of a linear model."""
    return jnp.mean((batch[0] @ w - batch[1]) ** 2)


PROBLEM = oc.problem_from_loss(lambda _: jnp.zeros(4), loss)
SGD = oc.trainable(PROBLEM, lambda hp: optax.sgd(hp["learning_rate"]))


def the_package_is_the_installed_one() -> None:
    """Imported from the environment, with its data, and nothing but the package."""
    assert PACKAGE.is_relative_to(sys.prefix), PACKAGE
    for name in ("py.typed", "tuning/report_page.html", "tuning/report_style.css"):
        assert (PACKAGE / name).read_bytes() is not None, name
    files = metadata.files("optax-cycles") or []
    tops = {file.parts[0] for file in files} - {".."}  # the command is in ../../../bin
    assert {top.partition("-")[0] for top in tops} == {"optax_cycles"}, tops
    assert any(file.match("licenses/LICENSE") for file in files)


def the_version_is_that_of_the_distribution() -> None:
    """As an attribute, of the command, and of the module."""
    version = metadata.version("optax-cycles")
    assert oc.__version__ == version
    for words in ([COMMAND], [sys.executable, "-m", "optax_cycles"]):
        done = subprocess.run(
            [*words, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"optax-cycles {version}\n", done.stdout


def one_cycle(n: int, first: float, peak: float, last: float) -> np.ndarray:
    """Up in 30 % of n steps and down in the others, along cosines, in float64."""
    t, up = np.arange(n), 0.3 * n - 1
    rise = (1 - np.cos(np.pi * t / up)) / 2
    fall = (1 - np.cos(np.pi * (t - up) / (n - 1 - up))) / 2
    return np.where(t <= up, first + (peak - first) * rise, peak + (last - peak) * fall)


def a_schedule_is_what_its_formula_says() -> None:
    """For all steps at once, compiled."""
    values = jax.jit(jax.vmap(oc.one_cycle(100, 0.5)))(jnp.arange(100))
    expected = one_cycle(100, 0.02, 0.5, 2e-6)
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=5e-7)


def a_policy_drives_an_optimizer() -> None:
    """SGD with momentum along the policy comes to where NumPy comes."""
    optimizer = oc.inject(optax.sgd, oc.one_cycle_policy(20, 0.1))
    ours = jnp.zeros(4)
    state = optimizer.init(ours)
    w, trace = np.zeros(4), np.zeros(4)
    rates, momenta = one_cycle(20, 0.004, 0.1, 4e-7), one_cycle(20, 0.95, 0.85, 0.95)
    for rate, momentum in zip(rates, momenta, strict=True):
        grads = jax.grad(loss)(ours, TRAIN, jax.random.key(0))
        updates, state = optimizer.update(grads, state)
        ours = optax.apply_updates(ours, updates)
        residuals = TRAIN[0].astype(float) @ w - TRAIN[1]
        trace = 2 * TRAIN[0].T @ residuals / len(residuals) + momentum * trace
        w -= rate * trace
    np.testing.assert_allclose(ours, w, rtol=1e-5)


def a_range_test_finds_a_rate() -> None:
    """The best rate is one that trains."""
    test = oc.parallel_range_test(
        SGD,
        TRAIN,
        VALIDATION,
        over={"learning_rate": RATES},
        seeds=2,
        steps=40,
        batch_size=8,
    )
    assert 0.01 < test.suggest().best < 1.0


def a_sweep_trains_all_members() -> None:
    """The least final loss is at a rate in between; the largest diverges."""
    result = oc.sweep.run(
        SGD,
        oc.sweep.grid(learning_rate=RATES),
        TRAIN,
        key=jax.random.key(0),
        steps=40,
        batch_size=8,
    )
    final = result.train["loss"][..., -1].ravel()
    assert 0 < np.nanargmin(final) < len(RATES) - 1
    assert not final[-1] < final[0]


def tune_hands_back_a_recipe() -> None:
    """It trains better than no training, and says so as code."""
    recipe = oc.tune(
        PROBLEM,
        TRAIN,
        validation=VALIDATION,
        key=jax.random.key(0),
        steps=40,
        batch_size=8,
    )
    assert recipe.complete
    compile(recipe.to_python(), "recipe", "exec")
    assert isinstance(recipe.optimizer(), optax.GradientTransformation)


def extras_are_asked_for() -> None:
    """What is not installed is named, with what installs it, in one line."""
    result = oc.sweep.run(
        SGD, oc.sweep.grid(learning_rate=[0.1]), TRAIN, key=jax.random.key(0), steps=2
    )
    calls: dict[str, tuple[str, Callable[[], object]]] = {
        "xarray": ("sweep", result.to_xarray),
        "pandas": ("sweep", result.to_dataframe),
        "matplotlib": ("sweep", lambda: plot_schedules({"noam": oc.noam(64, 10)}, 20)),
        "flax": (
            "flax",
            lambda: oc.problem_from_linen(None, optax.l2_loss, example=()),
        ),
        "equinox": (
            "equinox",
            lambda: oc.problem_from_equinox(jnp.zeros, optax.l2_loss),
        ),
        "scikit-learn": ("problems", digits),
    }
    for package, (extra, call) in calls.items():
        asked = f'needs {package}: pip install "optax-cycles[{extra}]"'
        assert said(call).endswith(asked), (package, said(call))
    done = subprocess.run(
        [COMMAND, "tune"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done
    assert done.stderr == (
        "optax-cycles tune: error: optax-cycles needs rich: "
        'pip install "optax-cycles[sweep]"\n'
    )


def said(call: Callable[[], object]) -> str:
    """The message of the missing extra that a call raises, or nothing."""
    try:
        call()
    except oc.MissingExtraError as error:
        return str(error)
    return ""


CHECKS: tuple[Callable[[], None], ...] = (
    the_package_is_the_installed_one,
    the_version_is_that_of_the_distribution,
    a_schedule_is_what_its_formula_says,
    a_policy_drives_an_optimizer,
    a_range_test_finds_a_rate,
    a_sweep_trains_all_members,
    tune_hands_back_a_recipe,
    extras_are_asked_for,
)


if __name__ == "__main__":
    names = ("jax", "jaxlib", "optax", "numpy")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    print(f"Python {sys.version.split()[0]}, {versions}")
    for check in CHECKS:
        check()
        print(f"  {check.__name__.replace('_', ' ')}", flush=True)
