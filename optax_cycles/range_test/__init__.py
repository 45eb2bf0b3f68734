"""Range tests: which values of a hyperparameter train, and which train best."""

from optax_cycles.range_test.best import RangeSuggestion as RangeSuggestion
from optax_cycles.range_test.best import parallel_best as parallel_best
from optax_cycles.range_test.curve import smooth as smooth
from optax_cycles.range_test.horizon import HorizonSuggestion as HorizonSuggestion
from optax_cycles.range_test.horizon import horizon_best as horizon_best
from optax_cycles.range_test.joint import JointSuggestion as JointSuggestion
from optax_cycles.range_test.joint import Profile as Profile
from optax_cycles.range_test.joint import joint_best as joint_best
from optax_cycles.range_test.parallel import ParallelTest as ParallelTest
from optax_cycles.range_test.parallel import parallel_range_test as parallel_range_test
from optax_cycles.range_test.parallel_result import ParallelTest as ParallelTest
from optax_cycles.range_test.ramp import ramp_range_test as ramp_range_test
from optax_cycles.range_test.ramp_result import RampTest as RampTest
from optax_cycles.range_test.rules import RULES as RULES
from optax_cycles.range_test.rules import minimum as minimum
from optax_cycles.range_test.rules import slide as slide
from optax_cycles.range_test.rules import smith_range as smith_range
from optax_cycles.range_test.rules import steep as steep
from optax_cycles.range_test.rules import steep_by_index as steep_by_index
from optax_cycles.range_test.rules import steep_by_value as steep_by_value
from optax_cycles.range_test.rules import steep_by_window as steep_by_window
from optax_cycles.range_test.rules import valley as valley
from optax_cycles.range_test.suggest import CycleSuggestion as CycleSuggestion
from optax_cycles.range_test.suggest import NoSuggestionError as NoSuggestionError
from optax_cycles.range_test.suggest import Suggestion as Suggestion
