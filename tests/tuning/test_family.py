"""Factories of the user's: what they are called, the code of them, what is refused."""

import functools
import sys
import types

import jax
import jax.numpy as jnp
import optax
import pytest
import recipes

from optax_cycles.tuning.family import family_of

START = jnp.array([1.0, -2.0])


class Scaled:
    """An object that makes optimizers, and can't be hashed."""

    __hash__ = None

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, learning_rate, momentum=0.9):
        return optax.chain(optax.scale(self.scale), optax.sgd(learning_rate, momentum))


def local(momentum):
    """A factory that only this call knows."""

    def factory(learning_rate, momentum=momentum):
        return optax.sgd(learning_rate, momentum)

    return factory


# No name leads to any of them.
UNNAMED = {
    "a partial": functools.partial(optax.adam, b2=0.99),
    "a partial of a partial": functools.partial(optax.nadam, b2=0.99),
    "a lambda": lambda learning_rate: optax.sgd(learning_rate, 0.9),
    "a local function": local(0.9),
    "an object": Scaled(2.0),
    "a method": Scaled(2.0).__call__,
}


def recipe_of_factory(factory):
    family = family_of("test", factory)
    return recipes.built(
        family=family,
        momentum=(0.85, 0.95) if family.momentum_name else None,
        weight_decay=1e-4 if family.has_decay else None,
    )


def stepped(optimizer):
    """Parameters after one step on a parabola."""
    updates, _ = optimizer.update(START, optimizer.init(START), START)
    return optax.apply_updates(START, updates)


def run_code(recipe, **names):
    exec(recipe.to_python(), names)
    return names["optimizer"]


@pytest.mark.parametrize("case", UNNAMED)
def test_the_code_of_what_has_no_name_says_what_to_put_there(case):
    factory = UNNAMED[case]
    recipe = recipe_of_factory(factory)
    first, second, *_ = recipe.to_python().splitlines()
    assert first.startswith("# factory: what tune was given, ")
    assert recipe.family.label in f"{first} {second.removeprefix('#   ')}"
    assert recipe.family.label in repr(recipe)
    made = run_code(recipe, factory=factory)
    assert jnp.array_equal(stepped(made), stepped(recipe.optimizer()))


@pytest.mark.parametrize(
    "factory", [optax.adabelief, optax.nadam, optax.contrib.ademamix]
)
def test_the_code_of_what_has_a_name_imports_it(factory):
    recipe = recipe_of_factory(factory)
    assert recipe.to_python().startswith("import optax")
    assert "#" not in recipe.to_python()
    assert jnp.array_equal(stepped(run_code(recipe)), stepped(recipe.optimizer()))


def test_the_shortest_path_is_the_one_that_is_imported():
    assert family_of("test", optax.adabelief).written == "optax.adabelief"
    assert family_of("test", optax.nadam).written == "optax.nadam"


@pytest.fixture
def main(monkeypatch):
    """A script that is run."""
    script = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", script)
    return script


def test_a_function_of_the_script_is_called_as_it_is_there(main):
    code = "import optax\ndef mine(learning_rate):\n  return optax.sgd(learning_rate)"
    exec(code, main.__dict__)
    recipe = recipe_of_factory(main.mine)
    assert recipe.family.name == "__main__:mine"
    assert "oc.inject(mine, policy)" in recipe.to_python()
    assert "__main__" not in recipe.to_python() + repr(recipe)
    made = run_code(recipe, mine=main.mine)
    assert jnp.array_equal(stepped(made), stepped(recipe.optimizer()))


def test_a_function_that_another_one_took_the_name_of_is_not_imported():
    @functools.wraps(optax.sgd)
    def wrapped(learning_rate, momentum=0.9):
        return optax.sgd(learning_rate, momentum)

    family = family_of("test", wrapped)
    assert family.written == "factory"
    assert family.name.endswith(":sgd (wrapped)")


def test_names_tell_factories_apart_and_are_the_same_in_each_process():
    one = family_of("test", functools.partial(optax.adam, b2=0.99)).name
    assert one == "functools.partial(optax.adam, b2=0.99)"
    assert one != family_of("test", functools.partial(optax.adam, b2=0.9)).name
    assert one != family_of("test", functools.partial(optax.nadam, b2=0.99)).name
    for factory in UNNAMED.values():
        assert "0x" not in family_of("test", factory).name
    masked = functools.partial(optax.adamw, mask=lambda params: params)
    assert family_of("test", masked).name.endswith("<lambda>)")


def test_an_object_that_calls_itself_sgd_is_not_sgd():
    class Named(Scaled):
        def __repr__(self):
            return "sgd"

    assert family_of("test", Named(2.0)).name == "<sgd>"


def positional(learning_rate, /):
    return optax.sgd(learning_rate)


def demanding(learning_rate, other):
    return optax.sgd(learning_rate)


def demanding_by_place(other, /, learning_rate):
    return optax.sgd(learning_rate)


def failing(learning_rate):
    raise RuntimeError("no optimizer today")


BAD = {
    "a required argument": (
        demanding,
        r"needs no other, got .*\(learning_rate, other\)",
    ),
    "a required place": (demanding_by_place, "needs no other, got"),
    "a positional rate": (positional, r"by name, got .*positional\(learning_rate, /\)"),
    "under jit": (jax.jit(optax.sgd), r"sgd \(wrapped\)', which fails: .*JAX type"),
    "no signature": (max, "whose arguments can be read, got 'builtins:max'"),
    "no optimizer": (lambda learning_rate: 3, "which makes int"),
    "a failure": (failing, "which fails: no optimizer today"),
    "a rate that is given": (functools.partial(optax.sgd, 0.1), "takes learning_rate"),
}


@pytest.mark.parametrize("case", BAD)
def test_factories_that_make_no_optimizer_are_named(case):
    factory, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        family_of("tune", factory)
    assert str(caught.value).startswith("tune: optimizer must be a factory ")
