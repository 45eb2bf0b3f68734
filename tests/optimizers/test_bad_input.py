"""Every argument refuses what it can't be, in the name of the function called."""

import inspect
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

NAN, INF = math.nan, math.inf

# Bad values by the kind of an argument; TypeError for a wrong type.
NOT_A_NUMBER = [("1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError)]
REAL = [*NOT_A_NUMBER, (NAN, ValueError), (INF, ValueError), (-INF, ValueError)]
REAL += [(np.ones(2), ValueError), ((0.9, 0.95), TypeError)]
POSITIVE = [*REAL, (0.0, ValueError), (-1.0, ValueError)]
AT_LEAST_0 = [*REAL, (-0.1, ValueError), (jnp.float32(-1.0), ValueError)]
BETA = [*AT_LEAST_0, (1.0, ValueError), (np.float64(1.5), ValueError)]
SHARE = [*AT_LEAST_0, (1.1, ValueError)]
WHOLE = [*NOT_A_NUMBER, (2.5, TypeError), (NAN, TypeError), (0, ValueError)]
WHOLE += [(-1, ValueError)]
LENGTH = [*WHOLE, (2**31, ValueError), (jnp.arange(2), ValueError)]
ROWS = [pair for pair in WHOLE if pair[0] is not None]
WORD = [("outsid", ValueError), ("", ValueError), (3, ValueError), (None, ValueError)]
SHAPE = [("cosin", ValueError), (3, TypeError), (None, TypeError)]
BASE = [(0.1, TypeError), (None, TypeError), ("sgd", TypeError)]
ANY: list = []  # dtypes, and trees that an update looks at
FLAG = [("no", TypeError), (1, TypeError), (None, TypeError)]

RATES = {"learning_rate": REAL, "weight_decay": AT_LEAST_0, "multiplier": REAL}
MOMENTS = {"b1": BETA, "b2": BETA, "eps": AT_LEAST_0}
DIRECTION = {"debias": WORD, "eps_form": WORD, "nesterov": FLAG, "amsgrad": FLAG}
PERIODS = {
    "learning_rate": REAL,
    "first_period": LENGTH,
    "normalized_decay": AT_LEAST_0,
    "period_mult": POSITIVE,
    "min_multiplier": SHARE,
    "shape": SHAPE,
    "rounding": WORD,
    "max_periods": ROWS,
    "mask": ANY,
}
SGD = {"momentum": BETA, "nesterov": FLAG, "momentum_form": WORD, "momentum_dtype": ANY}
ADAM = MOMENTS | DIRECTION | {"mu_dtype": ANY}
RATE_CALL = {"learning_rate": 0.1}
PERIOD_CALL = RATE_CALL | {"first_period": 3, "normalized_decay": 0.1}

# By function: a valid call, and the kinds of all arguments.
TABLE = {
    "sgdw": (RATE_CALL, RATES | SGD | {"decay_scale": WORD, "mask": ANY}),
    "adamw": (RATE_CALL, RATES | ADAM | {"decay_scale": WORD, "mask": ANY}),
    "sgdwr": (PERIOD_CALL, PERIODS | SGD),
    "adamwr": (PERIOD_CALL, PERIODS | ADAM),
    "decouple": (
        {"base": optax.sgd(0.1), "weight_decay": 0.1},
        {"base": BASE, "weight_decay": AT_LEAST_0, "multiplier": REAL, "mask": ANY},
    ),
    "add_decoupled_decay": (
        {"weight_decay": 0.1},
        {"weight_decay": AT_LEAST_0, "mask": ANY},
    ),
    "scale_by_moments": ({}, ADAM),
    "scale_by_momentum": ({}, {"momentum": BETA, "nesterov": FLAG, "dtype": ANY}),
    "layerwise_scale": (
        {"labels": 0, "decay": 0.5},
        {"labels": ANY, "decay": AT_LEAST_0},
    ),
    "normalized_weight_decay": (
        {"normalized_decay": 0.1, "updates": 5},
        {"normalized_decay": AT_LEAST_0, "updates": LENGTH},
    ),
    "updates_in_epochs": (
        {"epochs": 2, "num_examples": 10, "batch_size": 5},
        {
            "epochs": AT_LEAST_0,
            "num_examples": WHOLE,
            "batch_size": [*WHOLE, (11, ValueError)],
            "drop_remainder": FLAG,
        },
    ),
}
BAD = [
    pytest.param(name, argument, value, error, id=f"{name}-{argument}-{value}")
    for name, (_, kinds) in TABLE.items()
    for argument, kind in kinds.items()
    for value, error in kind
]


@pytest.mark.parametrize("name", TABLE)
def test_the_table_has_every_argument(name):
    call, kinds = TABLE[name]
    getattr(oc, name)(**call)
    assert set(inspect.signature(getattr(oc, name)).parameters) == set(kinds)


def test_the_table_has_every_function():
    from optax_cycles import optimizers

    public = {n for n, o in vars(optimizers).items() if inspect.isfunction(o)}
    assert public == set(TABLE)


@pytest.mark.parametrize(("name", "argument", "value", "error"), BAD)
def test_bad_values_are_named(name, argument, value, error):
    call, _ = TABLE[name]
    with pytest.raises(error) as caught:
        getattr(oc, name)(**{**call, argument: value})
    text = str(caught.value)
    assert re.match(rf"{name}: {argument} must be .+, got ", text), text
    assert text.endswith(f"got {value!r}")


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"updates_in_epochs"}))
def test_tracers_pass_wherever_numbers_may_be_traced(name):
    call, kinds = TABLE[name]
    numeric = {"first_period": 3, "updates": 3}
    numbers = {
        key: numeric.get(key, 0.5)
        for key, kind in kinds.items()
        if kind in (REAL, AT_LEAST_0, BETA, POSITIVE, SHARE, LENGTH)
    }

    def build(numbers):
        made = getattr(oc, name)(**{**call, **numbers})
        if name == "normalized_weight_decay":
            return made
        params = jnp.ones(3)
        return made.update(params, made.init(params), params)

    jax.eval_shape(build, numbers)


PARAMS = {"a": jnp.ones(2), "b": jnp.ones((2, 2))}
TREES = "a tree like the parameters, PyTreeDef({'a': *, 'b': *}), or a prefix of it"
RESTARTED = {"first_period": 3, "normalized_decay": 0.1}


def update(optimizer, state=None, params=PARAMS):
    state = optimizer.init(PARAMS) if state is None else state
    return optimizer.update(PARAMS, state, params)


def layers(labels, decay=0.5):
    return lambda: update(oc.layerwise_scale(labels, decay))


VALUE = [
    (
        lambda: oc.sgdw(0.1, momentum_form="insid"),
        "sgdw: momentum_form must be one of inside, outside (did you mean 'inside'",
    ),
    (
        lambda: oc.sgdw(0.1, decay_scale="learning rate"),
        "sgdw: decay_scale must be one of learning_rate, multiplier (did you mean 'lea",
    ),
    (
        lambda: oc.adamw(0.1, debias="products"),
        "adamw: debias must be one of power, product (did you mean 'product'?), got 'p",
    ),
    (
        lambda: oc.adamw(0.1, eps_form="in"),
        "adamw: eps_form must be one of inside, outside (did you mean 'inside'?), got ",
    ),
    (
        lambda: oc.adamwr(0.1, **RESTARTED, debias="pow"),
        "adamwr: debias must be one of power, product (did you mean 'power'?), got 'p",
    ),
    (
        lambda: oc.sgdwr(0.1, **RESTARTED, shape="cosin"),
        "sgdwr: shape must be one of 1-sqrt, 1-square, arccosine, cosine, exp, linear",
    ),
    (
        lambda: oc.sgdwr(0.1, **RESTARTED, momentum=1.0),
        "sgdwr: momentum must be a finite number >= 0 and < 1, got 1.0",
    ),
    (
        lambda: oc.updates_in_epochs(1, 10, 11),
        "updates_in_epochs: batch_size must be at most the number of examples, 10, got",
    ),
    (
        lambda: oc.layerwise_scale({"a": 0}, {"a": NAN}),
        "layerwise_scale: decay['a'] must be a finite number, got nan",
    ),
    # In an update.
    (
        lambda: update(oc.sgdw(0.1), params=None),
        "sgdw: params must be given to update: weight decay needs them, got None",
    ),
    (
        lambda: update(oc.adamw(0.1, multiplier=abs), params=None),
        "adamw: params must be given to update: weight decay needs them, got None",
    ),
    (
        lambda: update(oc.adamwr(0.1, **RESTARTED), params=None),
        "adamwr: params must be given to update: weight decay needs them, got None",
    ),
    (
        lambda: update(oc.decouple(optax.sgd(0.1), 0.1), params=None),
        "decouple: params must be given to update: weight decay needs them, got None",
    ),
    (
        lambda: update(oc.add_decoupled_decay(0.1), params=None),
        "add_decoupled_decay: params must be given to update: weight decay needs them",
    ),
    (
        lambda: update(oc.sgdw(0.1, mask={"a": True})),
        f"sgdw: mask must be {TREES}, got PyTreeDef({{'a': *}})",
    ),
    (
        lambda: update(oc.adamw(0.1, mask=lambda _: {"a": True, "c": False})),
        f"adamw: mask must be {TREES}, got PyTreeDef({{'a': *, 'c': *}})",
    ),
    (
        lambda: update(oc.sgdw(0.1, mask={"a": {"x": True}, "b": True})),
        f"sgdw: mask must be {TREES}, got PyTreeDef({{'a': {{'x': *}}, 'b': *}})",
    ),
    (
        layers({"a": 0}),
        f"layerwise_scale: labels must be {TREES}, got PyTreeDef({{'a': *}})",
    ),
    (layers(None), f"layerwise_scale: labels must be {TREES}, got PyTreeDef(None)"),
    (
        layers({"a": 0, "b": -1}),
        "layerwise_scale: labels must be depths >= 0, got -1",
    ),
    (
        layers({"a": "head", "b": "bod"}, {"head": 1.0, "body": 0.5}),
        "layerwise_scale: labels must be keys of decay, one of body, head (did you mea",
    ),
    (
        layers({"a": 1, "b": 2}, {1: 1.0, 3: 0.5}),
        "layerwise_scale: labels must be keys of decay, one of 1, 3, got 2",
    ),
    (
        lambda: oc.layerwise_scale({"a": 0, "b": 0}, {}),
        "layerwise_scale: decay must be a mapping with labels, got {}",
    ),
]

TYPE = [
    (
        lambda: update(oc.sgdw(0.1, mask={"a": 1, "b": 0})),
        "sgdw: mask must be a tree of booleans, got 1",
    ),
    (
        lambda: update(oc.decouple(optax.sgd(0.1), 0.1, mask="b")),
        "decouple: mask must be a tree of booleans, got 'b'",
    ),
    (
        lambda: update(oc.add_decoupled_decay(0.1, mask=jnp.asarray(True))),
        "add_decoupled_decay: mask must be a tree of booleans, got Array(True",
    ),
    (
        lambda: oc.layerwise_scale({"a": 0}, {"a": "1"}),
        "layerwise_scale: decay['a'] must be a finite number, got '1'",
    ),
    (
        layers({"a": 0, "b": 0.5}),
        "layerwise_scale: labels must be depths (integers) where decay is a number, go",
    ),
    (
        layers({"a": 0, "b": True}),
        "layerwise_scale: labels must be depths (integers) where decay is a number, go",
    ),
    (
        layers({"a": 0, "b": "body"}),
        "layerwise_scale: labels must be depths (integers) where decay is a number, go",
    ),
]


def moments(**options):
    return oc.scale_by_moments(**options).init(PARAMS)


# The optimizer, a state of something else, and what is said of it.
STATES = [
    (oc.scale_by_moments(), moments(debias="power"), "debias=product", "power"),
    (oc.scale_by_moments(debias="power"), moments(), "debias=power", "product"),
    (oc.scale_by_moments(amsgrad=True), moments(), "amsgrad=True", "amsgrad=False"),
    (oc.scale_by_moments(), moments(amsgrad=True), "amsgrad=False", "amsgrad=True"),
    (
        oc.scale_by_moments(),
        optax.scale_by_adam().init(PARAMS),
        "debias=product",
        "ScaleByAdamState",
    ),
    (
        oc.scale_by_moments(debias="power"),
        optax.scale_by_adam().init(PARAMS),
        "debias=power",
        "ScaleByAdamState",
    ),
]


@pytest.mark.parametrize(("call", "message"), VALUE, ids=[m for _, m in VALUE])
def test_value_errors_name_function_argument_and_value(call, message):
    with pytest.raises(ValueError, match=": ") as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("call", "message"), TYPE, ids=[m for _, m in TYPE])
def test_type_errors_name_function_argument_and_value(call, message):
    with pytest.raises(TypeError, match=": ") as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("optimizer", "state", "expected", "got"), STATES)
def test_a_state_of_other_moments_is_refused(optimizer, state, expected, got):
    with pytest.raises(ValueError, match="state must be") as caught:
        update(optimizer, state)
    text = str(caught.value)
    expected = f"scale_by_moments: state must be a MomentsState of {expected}, got "
    assert text.startswith(expected)
    assert got in text.removeprefix(expected)


@pytest.mark.parametrize(
    ("ours", "state"),
    [
        (oc.adamw(0.1), oc.adamw(0.1, debias="power").init(PARAMS)),
        (oc.adamw(0.1), oc.adamw(0.1, amsgrad=True).init(PARAMS)),
        (oc.adamw(0.1), optax.adamw(0.1).init(PARAMS)),
    ],
)
def test_adamw_refuses_states_that_are_not_its_own(ours, state):
    with pytest.raises(ValueError, match="state must be a MomentsState of "):
        update(ours, state)


def test_momentum_refuses_a_state_that_is_not_its_own():
    with pytest.raises(
        ValueError,
        match=r"scale_by_momentum: state must be a MomentumState .*, got Trace",
    ):
        update(oc.scale_by_momentum(), optax.trace(0.9).init(PARAMS))


def test_a_mask_function_must_return_a_mask():
    with pytest.raises(
        TypeError, match="sgdw: mask must be a tree of booleans, got No"
    ):
        update(oc.sgdw(0.1, weight_decay=0.1, mask=lambda params: None))


@pytest.mark.parametrize("name", ["sgdwr", "adamwr"])
@pytest.mark.parametrize("option", ["multiplier", "weight_decay", "decay_scale", "b3"])
def test_what_restarts_decide_or_nobody_knows_is_refused(name, option):
    with pytest.raises(TypeError, match=rf"^{name}(\(\)|: ).*{option}"):
        getattr(oc, name)(0.1, **RESTARTED, **{option: 0.1})
