"""Searches of one regression, whose every member has its own noise, for tests."""

import numpy as np
from linear import DATA, KEY, TRAIN, VALIDATION

import optax_cycles as oc

SPACE = {"learning_rate": oc.search.log_uniform(1e-3, 1.0)}
OPTIONS = {
    "key": KEY,
    "validation": VALIDATION,
    "batch_size": 8,
    "segment": 3,
    "keep_state": True,
}


def halve(trainable=TRAIN, steps=36, **options):
    """Five points with two seeds each; 4 and 12 updates, and all."""
    space = oc.sweep.grid(
        oc.search.random(SPACE, 5, seed=options.pop("points", 0)), seed=[0, 1]
    )
    return oc.search.successive_halving(
        trainable, space, DATA, steps, first=steps // 9, eta=2, **OPTIONS | options
    )


def hyperband(trainable=TRAIN, steps=36, points=0, **options):
    """17 members: 9, 5 and 3 to a bracket."""
    return oc.search.hyperband(
        trainable, SPACE, DATA, steps, first=steps // 9, seed=points,
        **OPTIONS | options,
    )  # fmt: skip


def population(trainable=TRAIN, steps=36, points=0, **options):
    """Seven members, two of whom copy after every four updates."""
    return oc.search.population(
        trainable, SPACE, DATA, steps, members=7, interval=steps // 9, share=0.3,
        seed=points, **OPTIONS | options,
    )  # fmt: skip


SEARCHES = {"halving": halve, "hyperband": hyperband, "population": population}


def arrays_of(found):
    """All that a search found, by name."""
    sweep = found.sweep
    return {
        "train": sweep.train["loss"],
        "validation": sweep.validation["loss"],
        "params": np.asarray(sweep.state.params),
        "status": sweep.status,
        "updates": sweep.updates,
        "parents": sweep.lineage.parents,
        "rates": sweep.lineage.hparams["learning_rate"],
        "scores": found.scores,
    }


def assert_same(found, expected, rtol=0.0):
    """The same decisions, and the same numbers."""
    ours, theirs = arrays_of(found), arrays_of(expected)
    for name, values in theirs.items():
        decided = name in ("status", "updates", "parents")
        np.testing.assert_allclose(
            ours[name], values, 0.0 if decided else rtol, err_msg=name
        )
