"""What peers that can't be installed here compute, in float64, from their sources.

timm and fastai import torchvision, which has no CPU build beside the tested
PyTorch; the others are callbacks of old Keras, TensorFlow 1, or lone files. Each is
written from its public source, named in its docstring; times are 0-based updates.
"""

import math


def clr_callback(t, base, peak, size, *, mode, gamma=1.0):
    """bckenstler/CLR, `clr_callback.py`: `CyclicLR.clr`."""
    cycle = math.floor(1 + t / (2 * size))
    x = abs(t / size - 2 * cycle + 1)
    scale = {
        "triangular": 1.0,
        "triangular2": 1 / 2.0 ** (cycle - 1),
        "exp_range": gamma**t,
    }
    return base + (peak - base) * max(0, 1 - x) * scale[mode]


def titu1994(t, total, peak, *, end=0.1, scale=0.1):
    """titu1994/keras-one-cycle, `clr.py`: `OneCycleLR.compute_lr`."""
    mid = int(total * (1 - end) / 2)
    if t > 2 * mid:
        q = (t - 2 * mid) / (total - 2 * mid)
        return peak * (1 + q * (1 - 100) / 100) * scale
    q = 1 - (t - mid) / mid if t > mid else t / mid
    return peak * (1 + q * (scale * 100 - 1)) * scale


def titu1994_momentum(t, total, low=0.85, high=0.95, end=0.1):
    """titu1994/keras-one-cycle, `clr.py`: `OneCycleLR.compute_momentum`."""
    mid = int(total * (1 - end) / 2)
    if t > 2 * mid:
        return high
    q = 1 - (t - mid) / mid if t > mid else t / mid
    return high - q * (high - low)


def nachiket273(t, total, peak, *, percent=10, div=10):
    """nachiket273/One_Cycle_Policy, `OneCycle.py`: `calc_lr`, before its reset."""
    size = int(total * (1 - percent / 100) / 2)
    if t > 2 * size:
        q = (t - 2 * size) / (total - 2 * size)
        return peak / div * (1 - q * (1 - 1 / div))
    q = 1 - (t - size) / size if t > size else t / size
    return peak * (1 + q * (div - 1)) / div


def nachiket273_cosine(t, total, peak, *, div=10):
    """nachiket273/One_Cycle_Policy, `OneCycle.py`: `calc_lr_cosine`."""
    size, low = total // 4, peak / div
    if t > size:
        q = (t - size) / (total - size)
        return low + 0.5 * (peak - low) * (1 + math.cos(math.pi * q))
    return peak - 0.5 * (peak - low) * (1 + math.cos(math.pi * t / size))


def adamwr(count, batches, first, mult, *, policy="cosine", ratio=0.5):
    """mpyrozhok/adamwr, `cyclic_scheduler.py`: `CyclicLRWithRestarts`.

    Runs the class's counters: `step()` at the start of each epoch, `batch_step()`
    after each of its batches. Yields the factors of the rate and of the decay.
    """
    period, epoch, seen = first, -1, []

    def eta(now):
        if policy == "cosine":
            return 0.5 * (1 + math.cos(math.pi * now / period))
        if policy == "arccosine":
            return math.acos(max(-1, min(1, 2 * now / period - 1))) / math.pi
        turn = ratio * period
        return now / turn if now < turn else 1 - (now - turn) / (period - turn)

    while len(seen) < count:
        epoch += 1
        for batch in range(batches):
            seen.append((eta(epoch + batch / batches), 1 / (batches * period) ** 0.5))
            if epoch % period < epoch:
                # Its rate of the first batch was taken before this restart.
                period, epoch = math.ceil(period * mult), 0
    rates, norms = zip(*seen[:count], strict=True)
    return list(rates), [rate * norm for rate, norm in zip(rates, norms, strict=True)]


def gradual_warmup(t, base, multiplier, warm):
    """ildoonet/pytorch-gradual-warmup-lr, `scheduler.py`, while it warms up."""
    if multiplier == 1.0:
        return base * t / warm
    return base * ((multiplier - 1) * t / warm + 1)


def tensor2tensor_noam(t, size, warm, learning_rate):
    """tensor2tensor, `utils/learning_rate.py`: the legacy "noam" scheme, with Adam."""
    rate = 5000 * size**-0.5 * min((t + 1) * warm**-1.5, (t + 1) ** -0.5)
    return rate * 0.002 * learning_rate


class NoamOpt:
    """The class of "The Annotated Transformer"; its first update has number 1."""

    def __init__(self, size, factor, warm):
        self.size, self.factor, self.warm, self.number = size, factor, warm, 0

    def step(self):
        self.number += 1
        rise, fall = self.number * self.warm**-1.5, self.number**-0.5
        return self.factor * self.size**-0.5 * min(fall, rise)


def fastai(t, total, pct, levels):
    """fastai, `callback/schedule.py`: `combined_cos` at `pct_train = t / total`."""
    position = t / total
    begin, end = (0.0, pct) if position < pct else (pct, 1.0)
    start, stop = levels[:2] if position < pct else levels[1:]
    q = (position - begin) / (end - begin)
    return start + (1 + math.cos(math.pi * (1 - q))) * (stop - start) / 2


def fastai_sgdr(t, cycle, mult, cycles, peak):
    """fastai, `callback/schedule.py`: `fit_sgdr`, with lengths in updates."""
    lengths = [cycle * mult**i for i in range(cycles)]
    begin = 0
    for length in lengths:
        if t < begin + length:
            q = (t - begin) / length
            return peak + (1 + math.cos(math.pi * (1 - q))) * (0 - peak) / 2
        begin += length
    raise AssertionError


def timm(t, base, first, curve, *, low=0.0, mult=1, decay=1.0, limit=1):
    """timm, `cosine_lr.py`, `tanh_lr.py`, `poly_lr.py`: `_get_lr` after the warm-up.

    The restart is found by walking; timm takes the logarithm, and is off by one
    cycle at some restarts. `curve` is the factor at a fraction of the cycle.
    """
    begin, period, cycle = 0, first, 0
    while t >= begin + period:
        begin, period, cycle = begin + period, period * mult, cycle + 1
    if cycle >= limit:
        return low
    return low + (base * decay**cycle - low) * curve((t - begin) / period)


def timm_logarithm(t, first, mult):
    """timm, `cosine_lr.py`: the number of the cycle as timm finds it."""
    return math.floor(math.log(1 - t / first * (1 - mult), mult))


def timm_wsd(t, base, total, decay, *, warm, curve, low=0.0, start=0.0, stable=None):
    """timm, `wsd_lr.py`: `_get_lr`."""
    if t < warm:
        return start + t * (base - start) / warm
    since = t - warm
    value = max(base * (stable(since) if stable else 1.0), low)
    into = since - (total - decay)
    if into <= 0:
        return value
    return low + (value - low) * curve(min(into / decay, 1.0))


def tf1_natural_exp(t, init, steps, rate, staircase):
    """tf.compat.v1.train.natural_exp_decay."""
    x = math.floor(t / steps) if staircase else t / steps
    return init * math.exp(-rate * x)


def tf1_inverse_time(t, init, steps, rate, staircase):
    """tf.compat.v1.train.inverse_time_decay."""
    x = math.floor(t / steps) if staircase else t / steps
    return init / (1 + rate * x)


def tf1_linear_cosine(t, init, steps, *, periods, alpha, beta):
    """tf.compat.v1.train.linear_cosine_decay."""
    t = min(t, steps)
    cosine = 0.5 * (1 + math.cos(math.pi * 2 * periods * t / steps))
    return init * ((alpha + (steps - t) / steps) * cosine + beta)


def big_vision_rsqrt(t, base, total, *, warm, timescale, shift, cool):
    """big_vision, `utils.py`: `create_learning_rate_schedule` with "rsqrt"."""
    value = base / math.sqrt(1 + (max(t - warm, 0) + shift) / timescale)
    return value * min(1.0, t / warm) * min(1.0, (total - t) / cool)
