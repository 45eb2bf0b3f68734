"""The schedules in NumPy float64, from the formulas of papers and of peers.

Steps are Python integers; nothing here is shared with the package.
"""

import math

import numpy as np

SHAPES = {
    "linear": lambda q: 1 - q,
    "cosine": lambda q: (1 + math.cos(math.pi * q)) / 2,
    "arccosine": lambda q: math.acos(2 * q - 1) / math.pi,
    "1-sqrt": lambda q: 1 - math.sqrt(q),
    "1-square": lambda q: 1 - q * q,
    "exp": lambda q: (math.exp(5 * (1 - q)) - 1) / (math.exp(5) - 1),
    "rex": lambda q: (1 - q) / (1 - q / 2),
    "tanh": lambda q: (
        (math.tanh(3) - math.tanh(-6 + 9 * q)) / (math.tanh(3) - math.tanh(-6))
    ),
}


def clr(t, base, peak, up, *, down=None, scale=lambda t, cycle: 1.0):
    """torch.optim.lr_scheduler.CyclicLR.get_lr, with the position in integers."""
    down = up if down is None else down
    cycle, r = divmod(t, up + down)
    tri = r / up if r <= up else (up + down - r) / down
    return base + (peak - base) * tri * scale(t, cycle + 1)


def one_cycle(
    t, total, levels, *, pct=0.3, shape="linear", three_phase=False, end="inclusive"
):
    """torch.optim.lr_scheduler.OneCycleLR.get_lr between the given levels."""
    offset = 1 if end == "inclusive" else 0
    ends = [pct * total - offset]
    if three_phase:
        ends.append(2 * pct * total - 2 * offset)
    ends.append(total - offset)
    t = min(t, ends[-1])
    begin = 0.0
    for i, stop in enumerate(ends):
        if t <= stop or i == len(ends) - 1:
            q = (t - begin) / (stop - begin) if stop > begin else 1.0
            return levels[i + 1] + (levels[i] - levels[i + 1]) * SHAPES[shape](q)
        begin = stop
    raise AssertionError


def sgdr(
    t, first, peak, *, mult=1, peak_mult=1.0, low=0.0, shape="cosine", rounding="ceil"
):
    """Loshchilov & Hutter (2017), eq. 5, walking from restart to restart."""
    period, start, i = first, 0, 0
    if mult == 1:
        i, start = t // first, t // first * first
    while mult != 1 and t - start >= period:
        start, i = start + period, i + 1
        exact = round(period * mult, 9)
        up = {"ceil": math.ceil, "floor": math.floor}[rounding]
        period = max(up(exact), 1)
    high = peak * peak_mult**i
    return low + (high - low) * SHAPES[shape]((t - start) / period)


def noam(t, size, warmup, *, factor=1.0, offset=1):
    """Vaswani et al. (2017), eq. 3."""
    s = t + offset
    if s == 0:
        return 0.0
    return factor * size**-0.5 * min(s**-0.5, s * warmup**-1.5)


def linear_decay(t, init, steps, *, end=0.0, begin=0):
    q = min(max(t - begin, 0) / steps, 1.0)
    return init * (1 - q) + end * q


def cosine_decay(t, init, steps, *, end_ratio=0.0, exponent=1.0, begin=0):
    """optax.cosine_decay_schedule."""
    q = min(max(t - begin, 0) / steps, 1.0)
    cosine = max((1 + math.cos(math.pi * q)) / 2, 0.0)
    return init * ((1 - end_ratio) * cosine**exponent + end_ratio)


def exponential_decay(t, init, steps, rate, *, staircase=False, begin=0, end=None):
    """optax.exponential_decay."""
    x = max(t - begin, 0) / steps
    value = init * rate ** (math.floor(x) if staircase else x)
    if end is None:
        return value
    return max(value, end) if rate < 1 else min(value, end)


def over(function, steps, *args, **kwargs):
    """The values of an oracle at all `steps`."""
    return np.asarray([function(int(t), *args, **kwargs) for t in steps], np.float64)
