"""A character-level transformer with Noam's warm-up, on Python's standard library.

It reads some modules of the running interpreter and predicts their next character; the
last tenth of each module is for validation. What it reaches is set against the entropy
of a character (unigram) and of a character given the one before it (bigram).

Run it with `python examples/transformer_noam.py`; `--width 64 --steps 240 --warmup 80`
is quicker.
"""

import argparse
import sysconfig
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import optax_cycles as oc

MODULES = ("argparse", "dataclasses", "difflib", "inspect", "shutil", "tarfile")
CHARACTERS = 128  # ASCII
CONTEXT, BATCH = 64, 32


class Block(nnx.Module):
    """Causal attention and a dense layer, each after a normalization."""

    def __init__(self, width, rngs):
        self.attention_norm = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        self.dense_norm = nnx.LayerNorm(width, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, rngs=rngs)
        self.project = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x, mask):
        x = x + self.attention(self.attention_norm(x), mask=mask)
        return x + self.project(nnx.gelu(self.expand(self.dense_norm(x))))


class Transformer(nnx.Module):
    """A decoder with learned positions."""

    def __init__(self, width, depth, rngs):
        self.characters = nnx.Embed(CHARACTERS, width, rngs=rngs)
        self.positions = nnx.Embed(CONTEXT, width, rngs=rngs)
        self.blocks = nnx.List([Block(width, rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.out = nnx.Linear(width, CHARACTERS, rngs=rngs)

    def __call__(self, codes):
        mask = nnx.make_causal_mask(codes)
        x = self.characters(codes) + self.positions(jnp.arange(codes.shape[1]))[None]
        for block in self.blocks:
            x = block(x, mask)
        return self.out(self.norm(x))


def bits_per_character(model, windows):
    """Mean bits to code a character, given those before it in its window."""
    logits = model(windows[:, :-1])
    nats = optax.softmax_cross_entropy_with_integer_labels(logits, windows[:, 1:])
    return nats.mean() / jnp.log(2.0)


@nnx.jit
def train_step(model, optimizer, windows):
    bits, grads = nnx.value_and_grad(bits_per_character)(model, windows)
    optimizer.update(model, grads)
    return {"bits": bits, **oc.current_hyperparams(optimizer)}


def read_corpus():
    """Character codes of the modules, for training and for validation."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    train, validation = [], []
    for name in MODULES:
        text = (folder / f"{name}.py").read_text("utf-8").encode("ascii", "replace")
        codes = np.frombuffer(text, np.uint8).astype(np.int32)
        part = len(codes) * 9 // 10
        train.append(codes[:part])
        validation.append(codes[part:])
    return np.concatenate(train), np.concatenate(validation)


def windows_at(codes, starts):
    return codes[starts[:, None] + np.arange(CONTEXT + 1)]


def entropy(shares):
    shares = shares[shares > 0]
    return -(shares * np.log2(shares)).sum()


def entropies(codes):
    """Bits per character of the best unigram and the best bigram model of a text."""
    pairs = np.zeros((CHARACTERS, CHARACTERS))
    np.add.at(pairs, (codes[:-1], codes[1:]), 1 / (len(codes) - 1))
    unigram = entropy(pairs.sum(axis=1))
    return unigram, entropy(pairs) - unigram


def main(argv=None):
    """Train; return the validation bits per character and the rate of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--warmup", type=int, default=200)
    args = parser.parse_args(argv)

    train, validation = read_corpus()
    model = Transformer(args.width, depth=2, rngs=nnx.Rngs(0))
    rate = oc.noam(args.width, args.warmup)
    tx = oc.adamw(rate, b2=0.98, eps=1e-9, weight_decay=0.0)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    random = np.random.default_rng(0)
    rates = []
    for step in range(args.steps):
        starts = random.integers(len(train) - CONTEXT, size=BATCH)
        logged = train_step(model, optimizer, windows_at(train, starts))
        rates.append(float(logged["learning_rate"]))
        if step % 40 == 0:
            line = " ".join(f"{name} {value:.5f}" for name, value in logged.items())
            print(f"step {step:4d}  {line}")

    starts = np.arange(0, len(validation) - CONTEXT, CONTEXT)
    bits = float(nnx.jit(bits_per_character)(model, windows_at(validation, starts)))
    unigram, bigram = entropies(validation)
    print(f"validation bits per character {bits:.3f}")
    print(f"entropy of its text: unigram {unigram:.3f}, bigram {bigram:.3f}")
    return bits, np.array(rates)


if __name__ == "__main__":
    main()
