"""Convolutions as matrix products, which stay fast in `scan` and under `vmap`."""

from optax_cycles.sweep.convolution.product import (
    conv_general_dilated as conv_general_dilated,
)
from optax_cycles.sweep.convolution.rewrite import (
    with_matmul_convolutions as with_matmul_convolutions,
)
