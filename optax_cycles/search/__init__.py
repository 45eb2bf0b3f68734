"""Searches: which members go on, which are copied, what is tried next."""

from optax_cycles.search.distributions import choice as choice
from optax_cycles.search.distributions import integers as integers
from optax_cycles.search.distributions import log_uniform as log_uniform
from optax_cycles.search.distributions import uniform as uniform
from optax_cycles.search.halving import hyperband as hyperband
from optax_cycles.search.halving import successive_halving as successive_halving
from optax_cycles.search.optuna import optuna as optuna
from optax_cycles.search.population import population as population
from optax_cycles.search.result import SearchResult as SearchResult
from optax_cycles.search.sampling import random as random
from optax_cycles.search.sampling import sobol as sobol
from optax_cycles.search.static import over_static as over_static
from optax_cycles.search.static_result import StaticResult as StaticResult
