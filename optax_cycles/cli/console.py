"""Progress bars and tables on a terminal."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from optax_cycles._extras import require
from optax_cycles.cli.folder import Folder
from optax_cycles.sweep.training import Progress
from optax_cycles.tuning import TuneProgress

Report = Callable[[Progress | TuneProgress], None]
# With the name of a step and the time left, a bar of a line of 80 characters.
_NARROW = 20


class Console:
    """Shows bars on standard error while work goes on, tables on standard output."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Needs the extra `sweep`; a quiet one shows nothing."""
        console = require("rich.console", "sweep", "optax-cycles")
        self._progress = require("rich.progress", "sweep", "optax-cycles")
        self._table = require("rich.table", "sweep", "optax-cycles")
        self.out = console.Console(highlight=False, quiet=quiet)
        self.err = console.Console(stderr=True, highlight=False, quiet=quiet)

    @contextmanager
    def bars(
        self, *names: str, steps: Sequence[str] = ()
    ) -> Iterator[dict[str, Report]]:
        """One bar for each part of the work; yields the functions that move them.

        Args:
          *names: the parts.
          steps: what a part consists of, where that is several steps; its bar then
            names the step, and says how much time is left.
        """
        p = self._progress
        width = max(map(len, (*names, *steps)))
        with p.Progress(
            p.TextColumn(f"{{task.description:<{width}}}"),
            p.BarColumn(bar_width=_NARROW if steps else 40),
            p.TaskProgressColumn(),
            p.TextColumn("{task.fields[said]:>17}"),
            p.TimeElapsedColumn(),
            *([p.TimeRemainingColumn()] if steps else []),
            console=self.err,
            disable=not self.err.is_terminal,
        ) as progress:
            tasks = {
                n: progress.add_task(n, total=None, said="", start=False) for n in names
            }

            def moving(name: str) -> Report:
                def report(now: Progress | TuneProgress) -> None:
                    said = f"{now.done:,} updates" if now.done else "compiling"
                    step = now.step if isinstance(now, TuneProgress) else name
                    if not now.done:
                        progress.start_task(tasks[name])
                    progress.update(
                        tasks[name],
                        description=step,
                        completed=now.done,
                        # While it is timed, nobody knows how many it will be.
                        total=None if step == "timing" else now.total,
                        said=said,
                    )

                return report

            yield {name: moving(name) for name in names}
            if steps:  # a budget is kept to within a little
                for task in progress.tasks:
                    progress.update(task.id, total=task.completed)

    @contextmanager
    def notes(self) -> Iterator[None]:
        """Within the block, a warning is one line, without the place in the code.

        What Orbax leaves behind of a write that fails, which it raises, is not shown.
        """

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            self.err.print(f"note: {message}", soft_wrap=True)

        def drop(unraisable: Any) -> None:
            if str(unraisable.exc_value) != "Event loop is closed":
                hook(unraisable)

        log, hook = logging.getLogger("absl"), sys.unraisablehook
        level = log.level
        with warnings.catch_warnings():
            warnings.showwarning = show
            log.setLevel(logging.CRITICAL)
            sys.unraisablehook = drop
            try:
                yield
            finally:
                log.setLevel(level)
                sys.unraisablehook = hook

    def say(self, text: str) -> None:
        """A line on standard output."""
        self.out.print(text, soft_wrap=True)

    def code(self, text: str) -> None:
        """Lines of Python on standard output, to be copied as they are."""
        self.out.print(text, soft_wrap=True, markup=False, end="")

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        left: int = 1,
    ) -> None:
        """A table; all columns but the first, or `left` ones, are aligned right."""
        # As a table's own title it would be as narrow as the table.
        self.out.print(f"[bold]{title}[/bold]")
        table = self._table.Table()
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index < left else "right")
        for row in rows:
            table.add_row(*row)
        self.out.print(table)

    def seconds(self, parts: Mapping[str, float]) -> None:
        """A table of where the time went."""
        total = sum(parts.values())
        rows = [(n, f"{s:.1f}", f"{s / total:.0%}") for n, s in parts.items()]
        rows.append(("total", f"{total:.1f}", "100%"))
        self.table("Where the time went", ("part", "seconds", "share"), rows)

    def files(self, folder: Folder, *, complete: bool) -> None:
        """A line that says which files there are."""
        kept = "" if complete else " (incomplete)"
        names = ", ".join(folder.kind.found_in(folder.path))
        self.say(f"In {folder.path}/{kept}: {names}")


def describe(values: np.ndarray) -> str:
    """`mean ± standard deviation` of a few numbers, or the only one."""
    failed = int(np.sum(~np.isfinite(values)))
    if failed:
        return f"{failed} of {len(values)} diverged"
    if len(values) == 1:
        return f"{values[0]:.4g}"
    return f"{values.mean():.4g} ± {values.std(ddof=1):.2g}"
