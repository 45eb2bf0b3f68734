"""Range tests: which values of a hyperparameter train, and which train best."""

from optax_cycles.range_test.best import RangeSuggestion as RangeSuggestion
from optax_cycles.range_test.best import parallel_best as parallel_best
from optax_cycles.range_test.curve import smooth as smooth
from optax_cycles.range_test.joint import JointSuggestion as JointSuggestion
from optax_cycles.range_test.joint import Profile as Profile
from optax_cycles.range_test.joint import joint_best as joint_best
from optax_cycles.range_test.parallel import parallel_range_test as parallel_range_test
from optax_cycles.range_test.parallel_result import ParallelTest as ParallelTest
from optax_cycles.range_test.ramp import ramp_range_test as ramp_range_test
from optax_cycles.range_test.ramp_result import RampTest as RampTest
from optax_cycles.range_test.suggest import NoSuggestionError as NoSuggestionError
from optax_cycles.range_test.suggest import Suggestion as Suggestion
from optax_cycles.range_test.suggest import steep as steep
from optax_cycles.range_test.suggest import valley as valley
