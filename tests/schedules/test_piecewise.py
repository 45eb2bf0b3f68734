import numpy as np
import optax
import pytest
from schedule_forms import assert_close, assert_values

import optax_cycles.schedules as oc

MAX = 2**31 - 1


def test_the_new_value_holds_from_the_boundary_on():
    schedule = oc.piecewise_constant([2, 4], [1.0, 0.5, 0.25])
    assert_values(schedule, [1, 1, 0.5, 0.5, 0.25, 0.25])


def test_side_left_keeps_the_old_value_at_the_boundary():
    schedule = oc.piecewise_constant([2, 4], [1.0, 0.5, 0.25], side="left")
    assert_values(schedule, [1, 1, 1, 0.5, 0.5, 0.25])


def test_a_constant_has_no_boundaries():
    assert_values(oc.piecewise_constant([], [0.3]), [0.3, 0.3])


def test_equal_boundaries_skip_a_value():
    assert_values(oc.piecewise_constant([2, 2], [1.0, 2.0, 3.0]), [1, 1, 3])


def test_boundaries_are_exact_to_the_last_step():
    schedule = oc.piecewise_constant([2**24 + 1, MAX], [1.0, 2.0, 3.0])
    steps = np.asarray([2**24, 2**24 + 1, MAX - 1, MAX])
    assert schedule(steps).tolist() == [1.0, 2.0, 2.0, 3.0]


def test_optax_takes_factors():
    steps = np.arange(12)
    theirs = optax.piecewise_constant_schedule(2.0, {3: 0.5, 7: 0.1})
    ours = oc.piecewise_constant([3, 7], [2.0, 1.0, 0.1])
    assert_close(ours, theirs(steps), steps=steps)


@pytest.mark.peer
def test_torch():
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 7], 0.5)
    values = []
    for _ in range(12):
        values.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    ours = oc.piecewise_constant([3, 7], [2.0, 1.0, 0.5])
    assert_close(ours, values, steps=np.arange(12))
