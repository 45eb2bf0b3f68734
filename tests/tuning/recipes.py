"""Recipes as tuning makes them, of made-up scores."""

import dataclasses

import numpy as np

from optax_cycles.tuning import Evidence, Recipe
from optax_cycles.tuning.family import Family, family_of

SEEDS, STEPS = 5, 40
MOMENTA = (0.9, 0.95, [0.85, 0.95])
DECAYS = (0.0, 1e-4, 1e-2)


def row(scores, length, **settings):
    """A row as tuning writes it: failures are None, and so is a median that is one."""
    middle = np.median([np.inf if s is None else s for s in scores])
    score = float(middle) if np.isfinite(middle) else None
    return {**settings, "length": length, "score": score, "scores": list(scores)}


def sort(rows, mode="min"):
    """The best first, failures last."""
    sign = {"min": 1, "max": -1}[mode]
    return tuple(
        sorted(rows, key=lambda r: np.inf if r["score"] is None else sign * r["score"])
    )


def rate_step(seeds=3, count=12, mode="min"):
    """Constant rates on a parabola of their logarithm; the largest three fail."""
    rng = np.random.default_rng(0)
    rows = []
    for place, rate in enumerate(np.geomspace(1e-4, 10.0, count)):
        middle = 0.2 + 0.1 * np.log10(rate / 0.02) ** 2
        noise = 0.01 * rng.standard_normal(seeds)
        scores = [None] * seeds if place >= count - 3 else list(middle + noise)
        settings = {"momentum": 0.9, "weight_decay": 0.0}
        given = {"schedule": "constant", "learning_rate": float(rate), **settings}
        rows.append(row(of_mode(scores, mode), 10, **given))
    return Evidence("learning rate", "rates train", sort(rows, mode), 360, 1.5)


def joint_step(count=27, mode="min"):
    """One seed each of short trainings, and whole ones of the best."""
    rng = np.random.default_rng(1)
    rows = []
    for place in range(count):
        settings = {
            "schedule": "one_cycle",
            "learning_rate": float(0.01 * 1.2**place),
            "momentum": MOMENTA[place % 3],
            "weight_decay": DECAYS[place // 3 % 3],
        }
        scores = [None] if place == 20 else [0.3 + 0.1 * rng.random()]
        rows.append(row(of_mode(scores, mode), 10, **settings))
    short = sort(rows, mode)
    whole = [
        {**one, "length": STEPS, "score": s, "scores": [s]}
        for one, s in zip(short, of_mode([0.11, 0.12, 0.13], mode), strict=False)
    ]
    return Evidence("momentum and decay", "they interact", (*whole, *short), 400, 2.5)


def schedule_step(mode="min"):
    names = ("one_cycle", "cosine", "warm_restarts", "cyclical", "constant")
    rows = [
        row(of_mode([0.1 + 0.01 * i + 0.02 * j], mode), STEPS, **finalist(name, j))
        for i, name in enumerate(names)
        for j in range(3)
    ]
    return Evidence("schedule", "1cycle holds", sort(rows, mode), 600, 1.0)


def finalist(schedule="one_cycle", place=0):
    return {
        "schedule": schedule,
        "learning_rate": 0.2 / (1 + place),
        "momentum": [0.85, 0.95] if schedule == "one_cycle" else 0.95,
        "weight_decay": 1e-4,
    }


def final_scores(seeds=SEEDS):
    """`[finalists, seeds]`, the first of which is the best."""
    rng = np.random.default_rng(2)
    return np.array([[0.1], [0.11], [0.2]]) + 0.02 * rng.random((3, seeds))


def final_step(seeds=SEEDS, mode="min"):
    """Three finalists, whose curves are in another order than their rows."""
    settings = [finalist(), finalist("cosine"), finalist("constant")]
    scores = [of_mode(list(map(float, one)), mode) for one in final_scores(seeds)]
    rows = [row(s, STEPS, **g) for s, g in zip(scores, settings, strict=True)]
    updates = list(range(0, STEPS + 1, 4))
    loss = [
        [[float(s) + 2.0 * 0.9**u for u in updates] for s in one]
        for one in reversed(scores)
    ]
    curves = {"updates": updates, "settings": settings[::-1]}
    curves["validation"] = {"loss": loss}
    return Evidence("final", "the first wins", tuple(rows), 600, 3.0, curves)


def of_mode(scores, mode):
    """Accuracies of losses, where more is better."""
    return scores if mode == "min" else [None if s is None else 1 - s for s in scores]


def built(seeds=SEEDS, mode="min", **changes):
    """A whole recipe, with `changes` of its fields."""
    steps = (rate_step(mode=mode), joint_step(mode=mode))
    final = final_step(seeds, mode)
    whole = Recipe(
        family=family_of("test", "sgdw"),
        schedule="one_cycle",
        steps=STEPS,
        batch_size=32,
        learning_rate=0.2,
        momentum=(0.85, 0.95),
        weight_decay=1e-4,
        metric="loss",
        mode=mode,
        scores=tuple(final.rows[0]["scores"]),
        diagnosis={
            "verdict": "overfitting",
            "reason": "the loss rises from update 20 on",
            "advice": "regularise more",
        },
        evidence=(*steps, schedule_step(mode), final),
        budget={"asked": 2000, "updates": 1960, "seconds": 8.25},
        versions={"optax_cycles": "0.1.0", "jax": "0.10.2"},
        complete=True,
    )
    return dataclasses.replace(whole, **changes)


def renamed(name):
    """sgdw under another name."""
    return Family(name, *family_of("test", "sgdw")[1:])
