"""The parts that every schedule of this package is made of, to make your own.

    step -> whole_step -> modulo -> fraction -> shape_of(...).weights -> between

`whole_step` gives exact int32 steps, `modulo` the cycle and the position in it,
`fraction` how much of a phase is done and left, a shape's `weights` how much of the
start and of the end value that means, and `between` the value. `lengths` and `reals`
check the arguments of a factory, and let tracers pass.
"""

from optax_cycles.schedules._phase import between as between
from optax_cycles.schedules._phase import fraction as fraction
from optax_cycles.schedules._phase import lengths as lengths
from optax_cycles.schedules._phase import modulo as modulo
from optax_cycles.schedules._phase import reals as reals
from optax_cycles.schedules._phase import whole_step as whole_step
from optax_cycles.schedules._shapes import shape_of as shape_of

__all__ = [
    "between",
    "fraction",
    "lengths",
    "modulo",
    "reals",
    "shape_of",
    "whole_step",
]
