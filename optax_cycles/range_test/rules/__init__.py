"""Rules that read a value off a ramp's curve; each is a pure function."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from optax_cycles.range_test.rules.minimum import minimum as minimum
from optax_cycles.range_test.rules.slide import slide as slide
from optax_cycles.range_test.rules.smith import smith_range as smith_range
from optax_cycles.range_test.rules.steep import steep as steep
from optax_cycles.range_test.rules.steep import steep_by_index as steep_by_index
from optax_cycles.range_test.rules.steep import steep_by_value as steep_by_value
from optax_cycles.range_test.rules.steep import steep_by_window as steep_by_window
from optax_cycles.range_test.rules.valley import valley as valley
from optax_cycles.range_test.suggest import Rule

# Each as its library applies it to a whole ramp; fastai's leave out the same points.
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.__name__: partial(rule, skip_start=None, skip_end=5)
        for rule in (valley, slide, minimum, steep, smith_range)
    }
    | {
        rule.__name__: rule
        for rule in (steep_by_index, steep_by_value, steep_by_window)
    }
)
