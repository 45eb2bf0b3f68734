import signal
import threading

import pytest

from optax_cycles.sweep.interrupts import held_back


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def hold(*steps):
    """Take some steps in the block."""
    with held_back():
        for step in steps:
            step()


def test_the_block_ends_before_it_is_interrupted():
    seen = []
    with pytest.raises(KeyboardInterrupt):
        hold(ctrl_c, lambda: seen.append("went on"))
    assert seen == ["went on"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_ends_the_block():
    seen = []
    with pytest.raises(KeyboardInterrupt):
        hold(ctrl_c, ctrl_c, lambda: seen.append("went on"))
    assert seen == []


def test_it_is_not_lost_where_the_block_fails_too():
    with pytest.raises(KeyboardInterrupt) as caught:
        hold(ctrl_c, lambda: 1 / 0)
    assert isinstance(caught.value.__context__, ZeroDivisionError)


def test_a_handler_of_the_program_is_left_alone():
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        with held_back():
            ctrl_c()
            assert came == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_change_nothing():
    handlers = []

    def work():
        with held_back():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
