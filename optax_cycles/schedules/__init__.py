"""Schedules: pure functions from the step to the value of a hyperparameter."""

from optax_cycles.schedules._shapes import exponential_shape as exponential_shape
from optax_cycles.schedules._shapes import polynomial_shape as polynomial_shape
from optax_cycles.schedules._shapes import tanh_shape as tanh_shape
from optax_cycles.schedules.combine import clip as clip
from optax_cycles.schedules.combine import join as join
from optax_cycles.schedules.combine import product as product
from optax_cycles.schedules.combine import repeat as repeat
from optax_cycles.schedules.combine import scale as scale
from optax_cycles.schedules.combine import shift as shift
from optax_cycles.schedules.cooldown import cooldown as cooldown
from optax_cycles.schedules.cycles import cycle_starts as cycle_starts
from optax_cycles.schedules.cyclical import cyclical as cyclical
from optax_cycles.schedules.cyclical import exp_range as exp_range
from optax_cycles.schedules.cyclical import triangular as triangular
from optax_cycles.schedules.cyclical import triangular2 as triangular2
from optax_cycles.schedules.decay import cosine_decay as cosine_decay
from optax_cycles.schedules.decay import linear_cosine_decay as linear_cosine_decay
from optax_cycles.schedules.decay import linear_decay as linear_decay
from optax_cycles.schedules.decay import polynomial_decay as polynomial_decay
from optax_cycles.schedules.greedy import greedy as greedy
from optax_cycles.schedules.one_cycle import one_cycle as one_cycle
from optax_cycles.schedules.one_cycle import (
    one_cycle_annihilated as one_cycle_annihilated,
)
from optax_cycles.schedules.one_cycle import one_cycle_smith as one_cycle_smith
from optax_cycles.schedules.piecewise import piecewise_constant as piecewise_constant
from optax_cycles.schedules.plateau import reduce_on_plateau as reduce_on_plateau
from optax_cycles.schedules.plateau import scale_by_plateau as scale_by_plateau
from optax_cycles.schedules.power import inverse_sqrt as inverse_sqrt
from optax_cycles.schedules.power import power_decay as power_decay
from optax_cycles.schedules.rates import exponential_decay as exponential_decay
from optax_cycles.schedules.rates import inverse_time_decay as inverse_time_decay
from optax_cycles.schedules.rates import natural_exp_decay as natural_exp_decay
from optax_cycles.schedules.restarts import warm_restarts as warm_restarts
from optax_cycles.schedules.warmup import gradual_warmup as gradual_warmup
from optax_cycles.schedules.warmup import noam as noam
from optax_cycles.schedules.warmup import warmup as warmup
from optax_cycles.schedules.warmup import warmup_stable_decay as warmup_stable_decay
