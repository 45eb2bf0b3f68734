"""A recipe as it is printed, saved and read."""

import functools

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipes

import optax_cycles as oc
from optax_cycles.tuning.family import family_of


def test_printed_it_says_the_settings_the_score_and_the_cost():
    recipe = recipes.built()
    scores = recipes.final_scores()[0]
    settings, values, score, cost = str(recipe).splitlines()
    assert settings == "oc.sgdw, one_cycle of 40 updates"
    assert "learning_rate 0.2, momentum (0.85, 0.95), weight_decay 0.0001" in values
    assert score.strip() == (
        f"validation loss: {np.median(scores):.4g}, the median of 5 seeds "
        f"({scores.min():.4g} to {scores.max():.4g})"
    )
    assert "1,960 updates" in cost
    assert "8.25 s" in cost
    assert repr(recipe).startswith("Recipe(oc.sgdw, one_cycle of 40 updates, learning")


def test_the_best_of_the_seeds_comes_first_where_more_is_better():
    scores = 1 - recipes.final_scores()[0]
    printed = str(recipes.built(mode="max", metric="accuracy"))
    assert "validation accuracy: " in printed
    assert f"({scores.max():.4g} to {scores.min():.4g})" in printed


def test_a_seed_that_diverged_counts():
    step = recipes.final_step()
    first = {**step.rows[0], "scores": [0.3, 0.1, None, 0.2]}
    step = oc.Evidence("final", "won", (first, *step.rows[1:]), 1, 1.0)
    printed = str(recipes.built(evidence=(step,), scores=(0.3, 0.1, 0.2)))
    assert "loss: 0.25, the median of 4 seeds (0.1 to 0.3, 1 diverged)" in printed


def test_one_seed_has_no_range():
    assert "(one seed)" in str(recipes.built(seeds=1))


def test_an_incomplete_one_says_so():
    first = (recipes.rate_step(), recipes.joint_step())
    recipe = recipes.built(evidence=first, scores=(), diagnosis=None, complete=False)
    printed = str(recipe)
    assert "not known, no final training" in printed
    assert printed.endswith("stopped after learning rate, momentum and decay")


def test_scalars_of_numpy_and_jax_are_saved_as_numbers(tmp_path):
    recipe = recipes.built(
        steps=np.int64(40),
        learning_rate=np.float32(0.25),
        budget={"asked": np.int64(600), "updates": jnp.int32(590), "seconds": 1.5},
    )
    recipe.save(tmp_path / "recipe.json")
    loaded = oc.Recipe.load(tmp_path / "recipe.json")
    assert loaded == recipe
    assert type(loaded.steps) is int
    assert type(loaded.learning_rate) is float


def test_what_json_does_not_know_is_named(tmp_path):
    recipe = recipes.built(budget={"asked": {1, 2}, "updates": 1, "seconds": 1.5})
    with pytest.raises(TypeError, match=r"^save: \{1, 2\} is not a plain value"):
        recipe.save(tmp_path / "recipe.json")
    assert not (tmp_path / "recipe.json").exists()


@pytest.mark.parametrize("method", ["save", "report"])
def test_a_missing_folder_is_said_at_once(method, tmp_path, monkeypatch):
    monkeypatch.setattr("optax_cycles.tuning.report.report_page", None)
    path = tmp_path / "absent" / "file"
    with pytest.raises(FileNotFoundError, match="the folder of path must exist") as no:
        getattr(recipes.built(), method)(path)
    assert str(no.value).startswith(f"{method}: ")
    assert str(path) in str(no.value)


def test_a_partial_is_loaded_with_the_same_partial_only(tmp_path):
    factory = functools.partial(optax.nadam, b2=0.99)
    recipe = recipes.built(family=family_of("test", factory), weight_decay=None)
    recipe.save(tmp_path / "recipe.json")
    again = functools.partial(optax.nadam, b2=0.99)
    assert oc.Recipe.load(tmp_path / "recipe.json", again) == recipes.built(
        family=family_of("test", again), weight_decay=None
    )
    other = functools.partial(optax.nadam, b2=0.9)
    with pytest.raises(ValueError, match=r"^load: factory must be .*b2=0\.99.*b2=0\.9"):
        oc.Recipe.load(tmp_path / "recipe.json", other)
