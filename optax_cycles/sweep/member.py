"""What happens to one member: its start, its updates, its evaluation."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax_cycles._typing import Array, Batch, Key, Metrics
from optax_cycles.sweep.batches import Segment, batch_at
from optax_cycles.sweep.divergence import Divergence, observe, start_watch
from optax_cycles.sweep.members import Members, Status
from optax_cycles.sweep.placement import Placement
from optax_cycles.sweep.trainable import Trainable, initial_state


class Member(NamedTuple):
    """The functions of a single member, which the engine maps over a population.

    Attributes:
      trainable: what is trained.
      placement: whether other members run beside it, and how its batch is split.
      divergence: when it is stopped.
    """

    trainable: Trainable
    placement: Placement
    divergence: Divergence

    def init(self, start: dict[str, Any], key: Key) -> Members:
        """A member in its first state, of a row of `starts_of`."""
        init_key, stream = jax.random.split(jax.random.fold_in(key, start["seed"]))
        return Members(
            state=initial_state(self.trainable, init_key, start["hparams"]),
            key=stream,
            step=jnp.int32(0),
            watch=start_watch(),
            **start,
        )

    def advance(self, member: Members, segment: Segment) -> tuple[Members, Metrics]:
        """The member after a segment, and metrics `[steps]`; see `Engine.advance`."""
        one_at_a_time = self.placement.inside == "map"
        steps, _ = segment.shape
        _, shapes = jax.eval_shape(self._update, member, segment, jnp.int32(0))
        nothing = {
            name: jnp.full(steps, jnp.nan, m.dtype) for name, m in shapes.items()
        }

        def going_on(carry: tuple[Array, Members, Metrics]) -> Array:
            position, now, _ = carry
            more = position < segment.length
            # Alone in the loop a stopped member can leave it; side by side it can't.
            return more & (now.status == Status.RUNNING) if one_at_a_time else more

        def body(
            carry: tuple[Array, Members, Metrics],
        ) -> tuple[Array, Members, Metrics]:
            position, now, metrics = carry
            new, values = self._update(now, segment, position)
            if not one_at_a_time:
                running = now.status == Status.RUNNING
                new = jax.tree.map(lambda n, o: jnp.where(running, n, o), new, now)
                values = {k: jnp.where(running, v, jnp.nan) for k, v in values.items()}
            metrics = {k: metrics[k].at[position].set(v) for k, v in values.items()}
            return position + 1, new, metrics

        _, member, metrics = jax.lax.while_loop(
            going_on, body, (jnp.int32(0), member, nothing)
        )
        return member, metrics

    def _update(
        self, member: Members, segment: Segment, position: Array
    ) -> tuple[Members, Metrics]:
        """One update of a running member."""
        batch = self.placement.split(batch_at(segment, member.order, position))
        key = jax.random.fold_in(member.key, member.step)
        state, metrics = self.trainable.step(member.state, member.hparams, batch, key)
        metrics = {name: _as_float(value) for name, value in metrics.items()}
        watch, diverged = observe(self.divergence, member.watch, metrics["loss"])
        status = jnp.where(diverged, Status.DIVERGED, Status.RUNNING)
        member = member._replace(
            state=state,
            step=member.step + 1,
            status=status.astype(jnp.int32),
            watch=watch,
        )
        return member, metrics

    def evaluate(self, member: Members, batch: Batch) -> Metrics:
        """Its metrics on one batch, NaN where it does not run."""
        assert self.trainable.evaluate is not None
        running = member.status == Status.RUNNING
        metrics = self.trainable.evaluate(member.state, self.placement.split(batch))
        return {
            name: jnp.where(running, _as_float(value), jnp.nan)
            for name, value in metrics.items()
        }


def _as_float(value: Any) -> Array:
    """A metric as a floating-point array, so that NaN can stand for "none"."""
    value = jnp.asarray(value)
    wide = jnp.promote_types(value.dtype, jnp.float32)
    return value.astype(wide)
