"""A recipe does not depend on the devices and processes that it was found with."""

import jax
import pytest
from test_processes import finish, start
from test_tune import tune

pytestmark = pytest.mark.slow


def said(recipe):
    """All of a recipe but what was measured in seconds."""
    evidence = [(step.name, step.learned, step.rows) for step in recipe.evidence]
    return {"code": recipe.to_python(), "scores": recipe.scores, "evidence": evidence}


@pytest.mark.parametrize("placement", ["map", "vmap"])
def test_two_devices_find_what_one_does(placement):
    one, two = (
        tune(devices=jax.devices()[:count], placement=placement) for count in (1, 2)
    )
    assert len(jax.devices()) == 2
    assert said(one) == said(two)


def test_two_processes_find_what_one_does(tmp_path):
    _, (one,) = finish(tmp_path / "one", start(tmp_path / "one", 1, 4, job="tuned"))
    _, two = finish(tmp_path / "two", start(tmp_path / "two", 2, 2, job="tuned"))
    assert [known["devices"] for known in (one, *two)] == [4, 4, 4]
    for known in two:
        assert known["recipe"] == one["recipe"]
