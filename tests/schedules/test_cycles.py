import jax
import numpy as np
import pytest

import optax_cycles as oc

WAVE = oc.triangular(0.1, 1.0, 4, step_size_down=6)


@pytest.mark.parametrize(
    ("schedule", "starts"),
    [
        (WAVE, [10, 20, 30]),
        (oc.scale(oc.clip(WAVE, 0.2, 0.8), 2.0), [10, 20, 30]),
        (jax.jit(WAVE), [10, 20, 30]),
        (oc.repeat(oc.linear_decay(1.0, 40), 15), [15, 30]),
        (oc.warm_restarts(5, 1.0, period_mult=1.2), [5, 11, 19, 29]),
        (oc.cyclical_policy(0.1, 1.0, 8)["momentum"], [16, 32]),
        (
            oc.warm_restarts_policy(16, 1.0, normalized_decay=0.1)["weight_decay"],
            [16, 32],
        ),
        (oc.one_cycle(30, 1.0), []),
        (oc.product(WAVE, oc.warmup(5)), []),
        (oc.scale(np.cos, 2.0), []),
    ],
)
def test_cycles_begin_where_the_schedule_says(schedule, starts):
    assert oc.cycle_starts(schedule, 36).tolist() == starts
    assert oc.cycle_starts(schedule, 1).tolist() == []
