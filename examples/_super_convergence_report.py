"""The table and the JSON of `super_convergence.py`."""

from typing import Any, NamedTuple

import jax
from _reporting import print_table, versions
from _super_convergence_training import Runs
from scipy import stats

LEVEL = 0.9


class Comparison(NamedTuple):
    """Both schedules over a short and a long training.

    Attributes:
      decays: dict from "short" and "long" to the `Runs` of each rate that the piecewise
        decay was tried with.
      cycles: dict from the same to the `Runs` of the cycle.
    """

    decays: dict[str, list[Runs]]
    cycles: dict[str, Runs]

    @property
    def four(self):
        """The best decay and the cycle of both lengths, by name.

        The best has the highest mean on the very images and seeds that it is compared
        on, which flatters the decay.
        """
        best = {
            length: max(runs, key=lambda one: one.final.mean())
            for length, runs in self.decays.items()
        }
        return {
            "decay, long": best["long"],
            "decay, short": best["short"],
            "1cycle, short": self.cycles["short"],
            "1cycle, long": self.cycles["long"],
        }


def difference(first, second):
    """Mean of `first - second` over seeds, which pair them, with its t interval."""
    by_seed = first.final - second.final
    mean, count = float(by_seed.mean()), len(by_seed)
    if count < 2:
        return {"mean": mean, "interval": None}
    reach = stats.t.ppf((1 + LEVEL) / 2, count - 1) * stats.sem(by_seed)
    return {"mean": mean, "interval": [mean - float(reach), mean + float(reach)]}


def findings(four):
    """What the paper says, as differences of accuracies, each with whether it holds.

    None where one seed leaves it open.
    """
    short = four["1cycle, short"]
    reaches = difference(short, four["decay, long"])
    beats = difference(short, four["decay, short"])
    longer = difference(four["1cycle, long"], four["decay, long"])
    return {
        "a short 1cycle reaches the long decay": reaches
        | {"holds": _beyond(reaches, 1)},
        "a short 1cycle beats the decay as short": beats | {"holds": _beyond(beats, 0)},
        "a long 1cycle beats the long decay": longer | {"holds": _beyond(longer, 0)},
    }


def _beyond(found, end):
    """Whether an end of the interval, 0 the lower one, is above zero."""
    return None if found["interval"] is None else found["interval"][end] > 0


def of(task, compared, suggestion, seconds):
    """What was found, as JSON has it."""
    four = compared.four
    short, long = task.lengths
    seeds = len(four["1cycle, short"].final)
    tested: dict[str, Any] | None = None
    if suggestion is not None:
        tested = {
            "base": suggestion.base,
            "best": suggestion.best,
            "peak": suggestion.peak,
            "reason": suggestion.reason,
        }
    return {
        "data": task.name,
        "examples": len(task.train[1]),
        "validation": len(task.validation[1]),
        "batch": task.batch,
        "short": short,
        "long": long,
        "seeds": seeds,
        "range_test": tested,
        "trainings": {name: _of_runs(runs) for name, runs in four.items()},
        "decays": {
            length: [_of_runs(one) for one in runs]
            for length, runs in compared.decays.items()
        },
        "findings": findings(four),
        "seconds": seconds,
        "device": jax.devices()[0].device_kind,
        "versions": versions(),
    }


def _of_runs(runs):
    return {
        "peak": runs.peak,
        "updates": runs.updates.tolist(),
        "accuracy": runs.accuracy.tolist(),
        "final": runs.final.tolist(),
        "mean": float(runs.final.mean()),
        "deviation": float(runs.final.std(ddof=1)) if len(runs.final) > 1 else None,
    }


def schedule_name(name):
    """The schedule of one of the four trainings, as tables and figures have it."""
    return {"decay": "piecewise decay"}.get(first := name.split(",")[0], first)


def rows(found):
    """The table, its head first, as cells of text."""
    lines = [["schedule", "updates", "peak rate", "accuracy", "least", "most"]]
    for name, one in found["trainings"].items():
        deviation = one["deviation"]
        spread = "" if deviation is None else f" ± {100 * deviation:.2f}"
        lines.append(
            [
                schedule_name(name),
                str(one["updates"][-1]),
                f"{one['peak']:.3g}",
                f"{100 * one['mean']:.2f}{spread} %",
                f"{100 * min(one['final']):.2f}",
                f"{100 * max(one['final']):.2f}",
            ]
        )
    return lines


def sentences(found):
    """Each finding with its numbers, in percentage points."""
    for name, one in found["findings"].items():
        word = {True: "holds", False: "DOES NOT HOLD", None: "open, with one seed"}
        text = f"{word[one['holds']]}: {name} ({100 * one['mean']:+.2f} points"
        if one["interval"]:
            low, high = one["interval"]
            text += f", {100 * LEVEL:.0f} % {100 * low:+.2f} to {100 * high:+.2f}"
        yield text + ")"


def show(found):
    """Print what was found."""
    print(
        f"{found['data']}: {found['examples']} examples in batches of "
        f"{found['batch']}, {found['validation']} to validate, {found['seeds']} seeds"
    )
    if found["range_test"]:
        tested = found["range_test"]
        print(f"range test of the cycle's peak: best {tested['best']:.3g}, ", end="")
        print(f"within noise of it up to {tested['peak']:.3g}")
    print_table(rows(found))
    print("\n".join(sentences(found)))
    print(
        "{wall:.0f} s, {processor:.0f} s of processors; load {load:.1f}".format(
            **found["seconds"]
        )
    )


def page(found):
    """The table and the findings, as Markdown."""
    head, *body = rows(found)
    lines = [head, ["---"] * len(head), *body]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    listed = "\n".join(f"- {text}" for text in sentences(found))
    return f"{table}\n\n{listed}"
