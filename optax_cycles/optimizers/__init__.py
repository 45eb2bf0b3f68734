"""Decoupled optimizers that stay right while their hyperparameters move."""

from optax_cycles.optimizers.aliases import adamw as adamw
from optax_cycles.optimizers.aliases import sgdw as sgdw
from optax_cycles.optimizers.decoupled import add_decoupled_decay as add_decoupled_decay
from optax_cycles.optimizers.decoupled import decouple as decouple
from optax_cycles.optimizers.decoupled import (
    normalized_weight_decay as normalized_weight_decay,
)
from optax_cycles.optimizers.decoupled import updates_in_epochs as updates_in_epochs
from optax_cycles.optimizers.layerwise import layerwise_scale as layerwise_scale
from optax_cycles.optimizers.moments import MomentsState as MomentsState
from optax_cycles.optimizers.moments import scale_by_moments as scale_by_moments
from optax_cycles.optimizers.momentum import MomentumState as MomentumState
from optax_cycles.optimizers.momentum import scale_by_momentum as scale_by_momentum
from optax_cycles.optimizers.restarts import adamwr as adamwr
from optax_cycles.optimizers.restarts import sgdwr as sgdwr
