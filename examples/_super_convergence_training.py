"""How `super_convergence.py` trains: schedules as data, and what is run."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optax_cycles as oc

MOMENTUM = 0.9
PIECEWISE, CYCLE = range(2)
# Shares of a training after which the published decay divides the rate by ten: 50,000
# and 70,000 of 80,000 updates.
DROPS = (5 / 8, 7 / 8)
# Of the cycle: as far as 45 % of the updates up, as many down, and in the others to a
# hundredth of the first rate. The published triangle spends half on either.
RATIO, RISE, LAST = 30.0, 0.45, 100.0
LOOKS = 10
# Peaks that the range test tries, with seeds that are not those of the trainings.
TESTED, TEST_SEEDS = (0.02, 5.0, 13), range(1_000, 1_005)
# Updates in one program, a number that divides all horizons but those of small sizes.
SEGMENT = 60


def piecewise(length, peak):
    """`peak`, divided by ten after 5/8 of the updates and again after 7/8."""
    at = [jnp.int32(jnp.round(share * length)) for share in DROPS]
    return oc.piecewise_constant(at, [peak, peak / 10, peak / 100])


def cycle(length, peak, published=None):
    """1cycle in straight lines; or the triangle that was published, of a low rate."""
    if published is None:
        return oc.one_cycle(
            length,
            peak,
            pct_start=RISE,
            div_factor=RATIO,
            final_div_factor=LAST,
            anneal="linear",
            three_phase=True,
            end="exclusive",
        )
    low, _ = published
    return oc.one_cycle(
        length,
        peak,
        pct_start=0.5,
        div_factor=peak / low,
        final_div_factor=1.0,
        anneal="linear",
        end="exclusive",
    )


def schedule_of(task, hparams):
    """Either of the schedules: which one is data, so that one program does for all."""
    length, rate = hparams["length"], hparams["learning_rate"]
    branches = [piecewise(length, rate), cycle(length, rate, task.cycle)]
    return lambda step: jax.lax.switch(hparams["schedule"], branches, step)


def trainable_of(task):
    """SGD with momentum and an L2 penalty under a schedule."""

    def optimizer(hparams):
        return optax.chain(
            optax.add_decayed_weights(task.weight_decay),
            optax.sgd(schedule_of(task, hparams), momentum=MOMENTUM),
        )

    return oc.trainable(task.problem(), optimizer)


class Runs(NamedTuple):
    """Trainings of one schedule at one peak.

    Attributes:
      peak: the largest rate.
      updates: `[looks]`, made before each look.
      accuracy: `[seeds, looks]`, on validation images; 0 after a divergence.
    """

    peak: float
    updates: np.ndarray
    accuracy: np.ndarray

    @property
    def final(self):
        """`[seeds]`: the accuracy at the end."""
        return self.accuracy[:, -1]


def range_test(task, train):
    """A range test over the peak of a cycle half as long as a short training.

    Constant rates say too little: without its warm-up this network does not start at
    the rates at which a cycle is best.
    """
    steps = max(task.lengths[0] // 2, 1)
    return oc.parallel_range_test(
        train,
        task.train,
        task.validation,
        over={"learning_rate": oc.sweep.log_space(*TESTED)},
        seeds=TEST_SEEDS,
        steps=steps,
        horizons=[steps],
        constants={"schedule": CYCLE, "length": steps},
        batch_size=task.batch,
        segment=SEGMENT,
    )


def compare(task, train, length, peak, seeds):
    """Both schedules over `length` updates, with every seed.

    Returns:
      `(piecewise, cycle)`: the `Runs` of each rate that the decay is tried with, and
      those of the cycle.
    """
    rates = [*task.rates, peak]
    kinds = [PIECEWISE] * len(task.rates) + [CYCLE]
    space = oc.sweep.grid(
        oc.sweep.zip(
            schedule=np.array(kinds),
            learning_rate=np.array(rates, np.float32),
            length=np.full(len(rates), length),
        ),
        seed=range(seeds),
    )
    looks = np.unique(np.linspace(0, length, LOOKS + 1).round().astype(int))[1:]
    found = oc.sweep.run(
        train,
        space,
        task.train,
        length,
        key=jax.random.key(0),
        batch_size=task.batch,
        validation=task.validation,
        horizons=looks.tolist(),
        segment=SEGMENT,
    )
    # After a divergence nothing is right.
    accuracy = np.nan_to_num(found.validation["accuracy"].astype(float))
    runs = [
        Runs(float(rate), looks, of_rate)
        for rate, of_rate in zip(rates, accuracy, strict=True)
    ]
    return runs[:-1], runs[-1]
