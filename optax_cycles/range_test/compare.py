"""What all rules say of the same curves, side by side."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.curve import check_shapes
from optax_cycles.range_test.rules import RULES
from optax_cycles.range_test.suggest import NoSuggestionError, Rule

COLUMNS = ("rule", "median", "spread", "answers", "least", "largest", "refusals")


@dataclasses.dataclass(frozen=True)
class RuleAnswers:
    """What one rule says of each seed's curve.

    Attributes:
      name: the rule.
      values: the value for each seed, None where the rule refuses.
      refusals: the reason for each seed, None where the rule answers.
    """

    name: str
    values: tuple[float | None, ...]
    refusals: tuple[str | None, ...]

    @property
    def answers(self) -> tuple[float, ...]:
        """The values of the seeds for which there is one."""
        return tuple(value for value in self.values if value is not None)

    @property
    def median(self) -> float | None:
        """The median answer; None without answers."""
        return float(np.median(self.answers)) if self.answers else None

    @property
    def spread(self) -> float | None:
        """The largest answer over the least: 1 where all seeds agree."""
        return _factor(self.answers)


@dataclasses.dataclass(frozen=True)
class RuleComparison:
    """What all rules say of the same curves; `print` it or let a notebook show it.

    Attributes:
      rules: the answers of each rule.
    """

    rules: tuple[RuleAnswers, ...]

    @property
    def agreement(self) -> float | None:
        """The largest of the rules' medians over the least; None without answers."""
        return _factor([r.median for r in self.rules if r.median is not None])

    def __getitem__(self, name: str) -> RuleAnswers:
        """The answers of the rule of that name."""
        known = {rule.name: rule for rule in self.rules}
        _checks.choice("RuleComparison", "name", name, known)
        return known[name]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as numbers, strings, lists and None, ready for JSON."""
        rules = {
            rule.name: {
                "values": list(rule.values),
                "refusals": list(rule.refusals),
                "median": rule.median,
                "spread": rule.spread,
            }
            for rule in self.rules
        }
        return {"rules": rules, "agreement": self.agreement}

    def __str__(self) -> str:
        """A table of text."""
        rows = [COLUMNS[:-1], *(row[:-1] for row in self._rows())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in rows
        ]
        notes = [f"{row[0]}: {row[-1]}" for row in self._rows() if row[-1]]
        return "\n".join([*(line.rstrip() for line in lines), self._verdict(), *notes])

    def _repr_html_(self) -> str:
        def row(cells: tuple[str, ...], tag: str) -> str:
            inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        body = "".join(row(cells, "td") for cells in self._rows())
        head = row(COLUMNS, "th")
        verdict = f"<p>{html.escape(self._verdict())}</p>"
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{verdict}"

    def _rows(self) -> list[tuple[str, ...]]:
        return [_row(rule) for rule in self.rules]

    def _verdict(self) -> str:
        if self.agreement is None:
            return "no rule has an answer"
        return f"the rules' medians are within a factor of {self.agreement:.3g}"


def compare_rules(
    values: Any, losses: Any, rules: Mapping[str, Rule] = RULES
) -> RuleComparison:
    """What each rule says of each seed's curve, and how far they agree.

    A rule whose answers spread over the seeds by a large factor reads noise; where the
    rules' medians are far apart, the curve does not say.

    Args:
      values: `[points]`, the increasing values of a whole ramp.
      losses: `[seeds, points]` or `[points]`, smoothed. By default the rules leave out
        the points that their libraries leave out.
      rules: dict from names to functions `rule(values, losses) -> Suggestion` that
        raise `NoSuggestionError` where they have no answer; `oc.RULES` by default, and
        `{**oc.RULES, "mine": my_rule}` with one more.

    Returns:
      A `RuleComparison`.

    Raises:
      ValueError: if shapes don't match, there is no seed or no rule, or values are not
        positive and increasing; if a rule answers outside the range.
      TypeError: if a rule can't be called.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> place = np.arange(100)
      >>> falls = 2 - np.tanh((place - 50) / 10) + 0.1 * np.maximum(place - 80, 0)
      >>> found = oc.compare_rules(np.geomspace(1e-5, 10.0, 100), falls)
      >>> round(found["steep"].median, 4), found["steep"].spread
      (0.0093, 1.0)
    """
    values, losses = check_shapes("compare_rules", values, losses)
    curves = losses[None] if losses.ndim == 1 else losses
    if curves.ndim != 2 or not len(curves):
        expected = "[seeds, points] or [points], with one seed or more"
        _checks.fail("compare_rules", "losses", expected, losses.shape)
    if not isinstance(rules, Mapping):
        expected = "a dict from names to functions"
        _checks.fail_type("compare_rules", "rules", expected, rules)
    if not rules:
        raise ValueError("compare_rules: rules must be at least one rule, got none")
    for name, rule in rules.items():
        _checks.function_of("compare_rules", f"rules[{name!r}]", rule)
    answers = [_ask(name, rule, values, curves) for name, rule in rules.items()]
    return RuleComparison(tuple(answers))


def _ask(name: str, rule: Rule, values: np.ndarray, curves: np.ndarray) -> RuleAnswers:
    found: list[float | None] = []
    refusals: list[str | None] = []
    for losses in curves:
        try:
            value = float(rule(values, losses).value)
        except NoSuggestionError as refusal:
            found.append(None)
            refusals.append(str(refusal))
            continue
        if not values[0] <= value <= values[-1]:
            expected = f"a rule that answers within {values[0]:.3g} to {values[-1]:.3g}"
            _checks.fail("compare_rules", f"rules[{name!r}]", expected, value)
        found.append(value)
        refusals.append(None)
    return RuleAnswers(name, tuple(found), tuple(refusals))


def _factor(values: Any) -> float | None:
    return max(values) / min(values) if len(values) else None


def _row(rule: RuleAnswers) -> tuple[str, ...]:
    counted = f"{len(rule.answers)} of {len(rule.values)}"
    refusals = "; ".join(dict.fromkeys(filter(None, rule.refusals)))
    if rule.median is None:
        return (rule.name, "-", "-", counted, "-", "-", refusals)
    low, high = min(rule.answers), max(rule.answers)
    numbers = [f"{rule.median:.3g}", f"{rule.spread:.3g}", counted]
    return (rule.name, *numbers, f"{low:.3g}", f"{high:.3g}", refusals)
