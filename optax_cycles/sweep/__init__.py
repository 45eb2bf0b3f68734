"""The sweep engine: many members of one problem in one compiled program."""

from optax_cycles.sweep.batches import ArrayBatches as ArrayBatches
from optax_cycles.sweep.batches import Segment as Segment
from optax_cycles.sweep.check import check_trainable as check_trainable
from optax_cycles.sweep.divergence import Divergence as Divergence
from optax_cycles.sweep.engine import Engine as Engine
from optax_cycles.sweep.engine import build as build
from optax_cycles.sweep.loop import Interrupted as Interrupted
from optax_cycles.sweep.loop import SweepError as SweepError
from optax_cycles.sweep.loop import run as run
from optax_cycles.sweep.members import Members as Members
from optax_cycles.sweep.members import Status as Status
from optax_cycles.sweep.members import member_at as member_at
from optax_cycles.sweep.placement import Placement as Placement
from optax_cycles.sweep.placement import use_cpu_devices as use_cpu_devices
from optax_cycles.sweep.result import SweepResult as SweepResult
from optax_cycles.sweep.snapshot import started_from as started_from
from optax_cycles.sweep.space import Axis as Axis
from optax_cycles.sweep.space import Space as Space
from optax_cycles.sweep.space import grid as grid
from optax_cycles.sweep.space import lin_space as lin_space
from optax_cycles.sweep.space import log_space as log_space
from optax_cycles.sweep.space import zip as zip
from optax_cycles.sweep.streams import DataError as DataError
from optax_cycles.sweep.training import Progress as Progress
