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


def annihilated(t, total, levels, pct):
    """OneCycleLR of titu1994: three straight lines between whole steps."""
    mid = int(total * (1 - pct) / 2)
    return float(np.interp(t, [0, mid, 2 * mid, total], levels))


def smith(t, base, peak, size):
    """Smith's own runs: the descent aims at 0 and is floored."""
    if t < size:
        return base + (peak - base) * t / size
    return max(peak * (1 - (t - size) / size), base / 1000)


def power_decay(t, init, warmup, *, power, timescale, shift=0):
    """big_vision's "rsqrt" (and transformers' inverse square root) at power 0.5."""
    rise = min(t / warmup, 1.0) if warmup else 1.0
    return init * rise * (1 + (max(t - warmup, 0) + shift) / timescale) ** -power


def wsd(t, peak, lengths, *, shape="1-sqrt", end_ratio=0.0, init_ratio=0.0):
    """transformers' get_wsd_schedule, with the warm-up's start apart."""
    warmup, stable, decay = lengths
    if t < warmup:
        return peak * (init_ratio + (1 - init_ratio) * t / warmup)
    if t < warmup + stable:
        return peak
    if t >= warmup + stable + decay:
        return peak * end_ratio
    q = (t - warmup - stable) / decay
    return peak * (end_ratio + (1 - end_ratio) * SHAPES[shape](q))


def polynomial_decay(t, init, steps, *, end=0.0, power=1.0, cycle=False):
    """keras PolynomialDecay."""
    if cycle:
        steps = steps * max(math.ceil(t / steps), 1)
    q = min(t, steps) / steps
    return (init - end) * (1 - q) ** power + end


def linear_cosine_decay(t, init, steps, *, periods=0.5, alpha=0.0, beta=0.001):
    """tf.compat.v1.train.linear_cosine_decay."""
    t = min(t, steps)
    line = (steps - t) / steps
    cosine = 0.5 * (1 + math.cos(math.pi * 2 * periods * t / steps))
    return init * ((alpha + line) * cosine + beta)


def gradual_warmup(t, after, warmup, multiplier):
    """ildoonet's GradualWarmupScheduler, scaled from the end of the warm-up on."""
    if t >= warmup:
        return multiplier * after(t - warmup)
    if multiplier == 1.0:
        return after(0) * t / warmup
    return after(0) * ((multiplier - 1.0) * t / warmup + 1.0)


def over(function, steps, *args, **kwargs):
    """The values of an oracle at all `steps`."""
    return np.asarray([function(int(t), *args, **kwargs) for t in steps], np.float64)
