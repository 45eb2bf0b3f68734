"""Rules side by side on curves of which each rule's answer is known."""

import json

import numpy as np
import pytest

import optax_cycles as oc

VALUES = np.geomspace(1e-4, 1.0, 5)
FALLS = np.array([2.0, 1.9, 1.0, 0.9, 3.0])


def at(index):
    def rule(values, losses):
        return oc.Suggestion(float(values[index]), index, "always")

    return rule


def moody(values, losses):
    """Answers with the place of the first loss, and refuses above 2."""
    if losses[0] > 2:
        raise oc.NoSuggestionError(f"moody: not at {losses[0]}; lower it")
    return oc.Suggestion(float(values[int(losses[0])]), int(losses[0]), "moody")


def curves(*firsts):
    return np.array([[first, *FALLS[1:]] for first in firsts])


@pytest.fixture
def found():
    rules = {"low": at(1), "high": at(3), "moody": moody}
    return oc.compare_rules(VALUES, curves(0.0, 2.0, 5.0, 1.0), rules)


def test_each_rule_has_a_value_a_seed_with_median_and_spread(found):
    moods = found["moody"]
    assert moods.values == (VALUES[0], VALUES[2], None, VALUES[1])
    assert moods.answers == (VALUES[0], VALUES[2], VALUES[1])
    assert moods.median == VALUES[1]
    assert moods.spread == pytest.approx(100)
    assert moods.refusals == (None, None, "moody: not at 5.0; lower it", None)
    assert found["low"].spread == 1.0
    assert found["low"].refusals == (None,) * 4


def test_the_agreement_is_the_factor_between_the_medians(found):
    # .001, .1 and .001.
    assert found.agreement == pytest.approx(100)


def test_without_answers_there_is_no_number():
    found = oc.compare_rules(VALUES, curves(5.0, 6.0), {"moody": moody})
    assert found["moody"].median is found["moody"].spread is found.agreement is None
    assert "no rule has an answer" in str(found)
    assert "0 of 2" in str(found)


def test_the_table_has_a_line_a_rule_and_each_refusal_once(found):
    lines = str(found).splitlines()
    words = [" ".join(line.split()) for line in lines]
    assert words[0] == "rule median spread answers least largest"
    assert words[1] == "low 0.001 1 4 of 4 0.001 0.001"
    assert words[3] == "moody 0.001 100 3 of 4 0.0001 0.01"
    assert lines[4] == "the rules' medians are within a factor of 100"
    assert lines[5:] == ["moody: moody: not at 5.0; lower it"]
    # Columns stand below one another.
    assert len({line.index("of 4") for line in lines[1:4]}) == 1


def test_the_page_holds_the_same_cells_escaped(found):
    page = found._repr_html_()
    assert page.count("<tr>") == 4
    assert "<td>moody</td><td>0.001</td><td>100</td><td>3 of 4</td>" in page
    rude = oc.compare_rules(VALUES, FALLS, {"<b>": at(1)})._repr_html_()
    assert "&lt;b&gt;" in rude
    assert "<b>" not in rude


def test_the_dict_survives_json(found):
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again == found.to_dict()
    assert again["rules"]["moody"]["values"][2] is None
    assert again["agreement"] == pytest.approx(100)


def test_all_rules_are_asked_and_one_of_the_users_own_may_join():
    place = np.arange(100)
    losses = np.interp(place, [0, 30, 60, 80, 99], [2.3, 2.3, 0.5, 0.6, 9.0])
    values = np.geomspace(1e-5, 10.0, 100)
    both = oc.compare_rules(values, losses, {**oc.RULES, "mine": at(50)})
    assert [rule.name for rule in both.rules] == [*oc.RULES, "mine"]
    assert both["mine"].values == (values[50],)
    plain = oc.compare_rules(values, losses)
    assert [rule.name for rule in plain.rules] == list(oc.RULES)
    for name, rule in oc.RULES.items():
        assert plain[name].values == (rule(values, losses).value,)


def test_a_rule_that_answers_outside_the_range_is_an_error():
    def wild(values, losses):
        return oc.Suggestion(100.0, 0, "wild")

    with pytest.raises(
        ValueError,
        match=r"rules\['wild'\] must be a rule that answers within 0.0001 to 1, got 1",
    ):
        oc.compare_rules(VALUES, FALLS, {"wild": wild})


def test_a_mistake_in_a_rule_is_no_refusal():
    def broken(values, losses):
        raise ValueError("operands could not be broadcast")

    with pytest.raises(ValueError, match="operands could not be"):
        oc.compare_rules(VALUES, FALLS, {"broken": broken})


def test_an_unknown_name_lists_the_near_ones(found):
    with pytest.raises(ValueError, match=r"did you mean 'low'\?"):
        found["lo"]


@pytest.mark.parametrize(
    ("values", "losses", "rules", "error", "message"),
    [
        (
            VALUES,
            FALLS[:4],
            {"a": at(0)},
            ValueError,
            "values and losses must be two eq",
        ),
        (VALUES[::-1], FALLS, {"a": at(0)}, ValueError, "values must be increasing"),
        (-VALUES[::-1], FALLS, {"a": at(0)}, ValueError, "values must be positive"),
        (
            VALUES,
            np.ones((0, 5)),
            {"a": at(0)},
            ValueError,
            "losses must be .* one seed",
        ),
        (
            VALUES,
            np.ones((1, 1, 5)),
            {"a": at(0)},
            ValueError,
            r"losses must be \[seeds",
        ),
        (VALUES, FALLS, {}, ValueError, "rules must be at least one rule, got none"),
        (VALUES, FALLS, {"a": 3}, TypeError, r"rules\['a'\] must be a callable, got 3"),
        (VALUES, FALLS, [at(0)], TypeError, "rules must be a dict from names"),
    ],
)
def test_wrong_arguments_are_refused(values, losses, rules, error, message):
    with pytest.raises(error, match=f"^compare_rules: {message}"):
        oc.compare_rules(values, losses, rules)
