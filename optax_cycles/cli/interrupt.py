"""Ctrl-C while there is nothing to keep yet."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NOTHING_KEPT = "interrupted before there was anything to keep"


@contextmanager
def ends_at_once(prog: str) -> Iterator[None]:
    """Within the block, Ctrl-C ends the process with one line and exit code 1.

    An exception in the midst of an import may be lost, or leave a module half made.
    Outside the main thread, and where Ctrl-C is handled in another way or ignored,
    nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def leave(*_: Any) -> None:
        os.write(2, f"{prog}: error: {NOTHING_KEPT}\n".encode())
        os._exit(1)

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
