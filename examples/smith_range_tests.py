"""The range tests of Smith's "disciplined approach" (2018), on handwritten digits.

Each of his questions is one call: how far the learning rate may go, what larger batches
allow at equal computing budgets, which momentum and which weight decay go with it, at
the start and in the middle of a training, and whether a training under- or overfits.
Numbers of figures are those of the paper's.

Run it with `python examples/smith_range_tests.py --out smith`; `--steps 100 --seeds 2`
is quicker. The decay is that of the paper, an L2 penalty, which the rate multiplies.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import optax

import optax_cycles as oc
from optax_cycles.plot import new_figure, plot_ramp, plot_trainings, save_figure
from optax_cycles.problems import digits, digits_problem
from optax_cycles.range_test.grid_figures import grid_figure, plot_lines

MOMENTA = [0.5, 0.8, 0.9, 0.95, 0.98]
MOVES = {"falling": (0.98, 0.8), "constant": (0.9, 0.9), "growing": (0.8, 0.98)}
DECAYS = [1e-5, 1e-3, 1e-2, 3e-2, 1e-1]
BATCH_SIZES = [16, 64, 256]
FEW_EXAMPLES, WRONG = 200, 0.4


def sgd(hparams):
    """SGD with momentum and L2; what a test leaves out is as in the paper's text."""
    return optax.chain(
        optax.add_decayed_weights(hparams["weight_decay"]),
        optax.sgd(hparams["learning_rate"], momentum=hparams["momentum"]),
    )


class Tests:
    """The data, the model, and how much is trained."""

    def __init__(self, steps, seeds):
        self.data = digits()
        self.train = oc.trainable(digits_problem("mlp"), sgd)
        self.steps, self.seeds = steps, seeds

    def ramp(self, constants, low=1e-3, high=3.0, **options):
        """A ramp of the learning rate, validated 25 times."""
        return oc.ramp_range_test(
            self.train,
            *self.data,
            low=low,
            high=high,
            steps=self.steps,
            seeds=self.seeds,
            validate_every=max(self.steps // 25, 1),
            constants=constants,
            **options,
        )

    def sweep(self, rate, wrong_labels=False, **options):
        """Trainings at one rate, on all of the data or on a few with wrong labels."""
        inputs, labels = self.data.train
        if wrong_labels:
            rng = np.random.default_rng(0)
            inputs, labels = inputs[:FEW_EXAMPLES], labels[:FEW_EXAMPLES]
            wrong = rng.random(FEW_EXAMPLES) < WRONG
            labels = np.where(wrong, rng.integers(10, size=FEW_EXAMPLES), labels)
        space = {
            "learning_rate": [rate] * self.seeds,
            "weight_decay": [0.0] * self.seeds,
            "momentum": [0.9] * self.seeds,
            "seed": range(self.seeds),
        }
        return oc.sweep.run(
            self.train,
            space,
            (inputs, labels.astype(np.int32)),
            self.steps,
            key=jax.random.key(0),
            validation=self.data.validation,
            **options,
        )


def lowest(test):
    """The rate and the loss where the median validation loss of each ramp is lowest."""
    losses = np.nan_to_num(test.validation(), nan=np.inf)
    medians = np.median(losses, axis=-2)
    return test.validated[medians.argmin(-1)], medians.min(-1)


def rates(tests):
    """Figure 1: training and validation loss, accuracy and gap over the rate."""
    test = tests.ramp({"momentum": 0.9, "weight_decay": 0.0})
    rate, loss = lowest(test)
    figure = new_figure(6.4, 5.6)
    above, below = figure.subplots(2, 1, sharex=True)
    plot_ramp(test, above)
    above.set(title="Figure 1: how far the learning rate may go", xlabel="")
    accuracy = np.median(test.validation("accuracy"), axis=0)
    # The training loss between one evaluation and the last.
    every = np.diff(test.sweep.horizons, prepend=0)
    smoothed = np.add.reduceat(test.losses, np.cumsum(every) - every, axis=1) / every
    gap = np.median(test.validation() - smoothed, axis=0)
    below.plot(test.validated, accuracy, label="validation accuracy")
    below.plot(test.validated, gap, "--", label="gap: validation minus training loss")
    below.set(xlabel="learning rate", ylabel="accuracy; gap", ylim=(-1, 1.05))
    below.grid(alpha=0.25)
    below.legend(fontsize=8)
    found = {"rate": rate, "loss": loss, "accuracy": np.nanmax(accuracy)}
    return figure, found | {"values": test.validated, "validation": test.validation()}


def batch_sizes(tests):
    """Figure 6: larger batches at an equal number of examples."""
    test = oc.parallel_range_test(
        tests.train,
        *tests.data,
        over={
            "learning_rate": oc.sweep.log_space(1e-3, 1.0, 10),
            "batch_size": BATCH_SIZES,
        },
        budget="examples",
        # Updates of the smallest batch size.
        steps=-(-tests.steps // 16) * 16,
        seeds=tests.seeds,
        constants={"momentum": 0.9, "weight_decay": 0.0},
    )
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    plot_lines(test, axes)
    axes.set_title("Figure 6: batch sizes at equal numbers of examples")
    medians = np.median(np.nan_to_num(test.validation(), nan=np.inf), axis=-1)
    best = test.axes["learning_rate"][medians.argmin(0)]
    return figure, {"best": best, "loss": medians.min(0)}


def momenta(tests):
    """Figure 7: constant momenta over a ramp of the rate."""
    test = tests.ramp({"weight_decay": 0.0}, over={"momentum": MOMENTA})
    rate, loss = lowest(test)
    figure = new_figure(6.4, 3.6)
    plot_ramp(test, axes := figure.subplots())
    axes.set_title("Figure 7: a large momentum wants a small rate")
    return figure, {"rate": rate, "loss": loss}


def moving_momenta(tests):
    """Figure 8: momentum that falls, stays or grows while the rate grows."""
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    losses, curves = {}, {}
    for name, ends in MOVES.items():
        test = tests.ramp({"weight_decay": 0.0}, moving={"momentum": ends})
        _, losses[name] = lowest(test)
        curves[f"{name}, {ends[0]} to {ends[1]}"] = test.validation()
    plot_trainings(test.validated, curves, axes)
    axes.set(xscale="log", xlabel="learning rate", ylim=(None, 3.0))
    axes.set_title("Figure 8: momentum while the rate grows")
    return figure, losses


def weight_decays(tests):
    """Figures 9 and 10: weight decay over a ramp of the rate."""
    test = tests.ramp({"momentum": 0.9}, over={"weight_decay": DECAYS})
    rate, loss = lowest(test)
    figure = new_figure(6.4, 3.6)
    plot_ramp(test, axes := figure.subplots())
    axes.set_title("Figures 9 and 10: weight decay over a ramp of the rate")
    return figure, {"rate": rate, "loss": loss}


def constant_rates(tests):
    """Figure 11: weight decay at constant rates, as a grid."""
    test = oc.parallel_range_test(
        tests.train,
        *tests.data,
        over={
            "learning_rate": oc.sweep.log_space(1e-3, 1.0, 10),
            "weight_decay": DECAYS,
        },
        steps=tests.steps,
        seeds=tests.seeds,
        constants={"momentum": 0.9},
    )
    medians = np.median(np.nan_to_num(test.validation(), nan=np.inf), axis=-1)
    best = test.axes["learning_rate"][medians.argmin(0)]
    return grid_figure(test), {"best": best, "loss": medians.min(0)}


def from_a_snapshot(tests):
    """Figure 12: weight decay at one rate, from the middle of a training."""
    trained = tests.sweep(0.05, keep_state=True)
    snapshot = jax.tree.map(lambda leaf: leaf[0], trained.state)
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    losses = {}
    for name, start in (("fresh", None), ("from a snapshot", snapshot)):
        test = oc.parallel_range_test(
            tests.train,
            *tests.data,
            over={"weight_decay": DECAYS},
            start=start,
            steps=tests.steps,
            seeds=tests.seeds,
            constants={"momentum": 0.9, "learning_rate": 0.05},
        )
        losses[name] = np.median(test.validation(), axis=-1)
        axes.plot(DECAYS, losses[name], "o-" if start is None else "s--", label=name)
    axes.set(xscale="log", yscale="log", ylabel="validation loss")
    axes.set(xlabel="weight decay", title="Figure 12: weight decay from a snapshot")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return figure, losses


def diagnoses(tests):
    """Figures 2 to 4: a training that underfits, and one that overfits."""
    every = max(tests.steps // 40, 1)
    horizons = list(range(every, tests.steps + 1, every))
    settings = {
        "rate 0.001": {"rate": 0.001},
        f"{FEW_EXAMPLES} examples, wrong labels": {"rate": 0.05, "wrong_labels": True},
    }
    verdicts, curves = [], {}
    for name, setting in settings.items():
        result = tests.sweep(horizons=horizons, **setting)
        losses = result.validation["loss"]
        said = oc.diagnose(horizons, losses)
        verdicts.append(said.verdict)
        curves[f"{name}: {said.verdict}"] = losses
    figure = new_figure(6.4, 3.6)
    plot_trainings(np.array(horizons), curves, axes := figure.subplots())
    axes.set_title("Figures 2 to 4: what the validation loss says")
    return figure, {"verdicts": verdicts}


FIGURES = {
    function.__name__: function
    for function in (
        rates,
        batch_sizes,
        momenta,
        moving_momenta,
        weight_decays,
        constant_rates,
        from_a_snapshot,
        diagnoses,
    )
}


def main(argv=None):
    """Draw the figures; returns what each found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for the figures")
    given = parser.parse_args(argv)
    unknown = set(given.figures) - set(FIGURES)
    if unknown:
        parser.error(f"FIGURE must be of {', '.join(FIGURES)}, got {unknown.pop()!r}")
    tests = Tests(given.steps, given.seeds)
    found = {}
    for name in given.figures or FIGURES:
        figure, found[name] = FIGURES[name](tests)
        print(f"{name}:")
        for key, value in found[name].items():
            if np.size(value) <= 5:
                print(f"  {key}: {np.array2string(np.asarray(value), precision=3)}")
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
            save_figure(figure, given.out / f"{name}.png")
    return found


if __name__ == "__main__":
    oc.sweep.use_cpu_devices()
    main()
