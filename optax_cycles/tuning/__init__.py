"""From a model to a recipe: settings that work, their evidence, and code."""

from optax_cycles.tuning.candidate import SCHEDULES as SCHEDULES
from optax_cycles.tuning.recipe import Evidence as Evidence
from optax_cycles.tuning.recipe import Recipe as Recipe
from optax_cycles.tuning.tune import tune as tune
from optax_cycles.tuning.work import TuneProgress as TuneProgress
