"""Optuna's studies, which go on where a command was stopped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from optax_cycles._extras import require
from optax_cycles.cli.folder import STUDY, Folder
from optax_cycles.search.common import Parts
from optax_cycles.search.joined import joined
from optax_cycles.search.optuna import optuna
from optax_cycles.search.result import SearchResult
from optax_cycles.search.study import trained_trials
from optax_cycles.sweep.interrupts import held_back
from optax_cycles.sweep.loop import Interrupted, SweepError
from optax_cycles.sweep.result import SweepResult

NAME = "optax-cycles"
_METHOD = "optuna"


class Studies:
    """Searches with Optuna whose batches are kept, one after another.

    The storage has what the sampler needs to know; curves are kept beside it.
    """

    def __init__(self, storage: str | None, folder: Folder, seed: int) -> None:
        """Name the storage: a SQLite file, a URL, or a file in the folder."""
        self.said = storage or str(folder.path / STUDY)
        self.seed = seed

    def search(
        self,
        trainable: Any,
        space: Any,
        data: Any,
        steps: int,
        *,
        checkpoint: Path,
        trials: int,
        batch: int,
        metric: str,
        mode: str,
        progress: Any,
        **options: Any,
    ) -> SearchResult:
        """As `oc.search.optuna`, of so many trials whose batches `checkpoint` keeps."""
        checkpoint.mkdir(parents=True, exist_ok=True)
        kept = [SweepResult.load(file) for file in sorted(checkpoint.glob("*.nc"))]
        study = self._study(f"{NAME} {checkpoint.name}", mode)
        trained = sum(one.space.size for one in kept)
        parts = Parts(progress, math.ceil((trials - trained) / batch))

        def result(*more: SweepResult) -> SearchResult:
            return SearchResult(_METHOD, joined([*kept, *more]), metric, mode)

        def keep(one: SweepResult) -> None:
            # The study has been told of it: without it the curves would lack trials.
            with held_back():
                one.save(checkpoint / f"{trained:06}.nc")
                kept.append(one)

        while trained < trials:
            count = min(batch, trials - trained)
            study.sampler = self._sampler(trained)
            try:
                one = optuna(
                    trainable,
                    space,
                    data,
                    steps,
                    trials=trained_trials(study) + count,
                    batch=count,
                    study=study,
                    metric=metric,
                    mode=mode,
                    progress=parts.next(),
                    **options,
                )
                keep(one.sweep)
            except (Interrupted, SweepError) as stop:
                last = stop.result.sweep
                if last.complete:
                    keep(last)
                stop.result = result() if last.complete else result(last)
                raise
            except (Exception, KeyboardInterrupt) as error:
                if not kept:
                    raise
                # Not to lose what earlier batches have found.
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted(result()) from None
                raise SweepError(f"{_METHOD}: {error}", result()) from error
            trained += count
        return result()

    def _study(self, name: str, mode: str) -> Any:
        module = require("optuna", "optuna", "--method optuna")
        module.logging.set_verbosity(module.logging.WARNING)
        url = self.said if "://" in self.said else f"sqlite:///{self.said}"
        try:
            return module.create_study(
                storage=url,
                study_name=name,
                load_if_exists=True,
                pruner=module.pruners.NopPruner(),
                direction={"min": "minimize", "max": "maximize"}[mode],
            )
        except Exception as error:  # Each storage has its own.
            said = str(error).partition("\n")[0]
            raise ValueError(
                f"--study: {self.said!r} can't be used as a storage ({said})"
            ) from error

    def _sampler(self, trained: int) -> Any:
        """One that draws the same batch whatever stopped the command before it."""
        module = require("optuna", "optuna", "--method optuna")
        seed = np.random.default_rng([self.seed, trained]).integers(2**31)
        return module.samplers.TPESampler(seed=int(seed), constant_liar=True)
