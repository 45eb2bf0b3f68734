"""Faults of processes, memory, disks and devices."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from faults import OPTIONS, SAVED, Outcome, registry
from linear import SPACE, STEPS, sweep
from test_checkpoint import numbered
from test_streams import endless

import optax_cycles as oc
from optax_cycles.sweep import Engine, Interrupted, SweepError
from optax_cycles.sweep import checkpoint as checkpoint_module

FAULTS, fault = registry()


# Ctrl-C, the real signal.


def interrupt(*_, **__):
    signal.raise_signal(signal.SIGINT)


@fault("Ctrl-C", "interrupted; .result holds")
def interrupted_between_segments(scene):
    def progress(now):
        if now.done >= 200:
            interrupt()

    return scene.stopped(Interrupted, progress=progress)


@fault("Ctrl-C", "interrupted; .result holds")
def interrupted_in_a_segment_that_is_finished_first(scene):
    advance = Engine.advance

    def interrupted(engine, members, segment):
        out = advance(engine, members, segment)
        interrupt()
        return out

    scene.patch.setattr(Engine, "advance", interrupted)
    found = scene.stopped(Interrupted, checkpoint_every=1e9)
    assert found.kept.updates.sum() > SAVED
    return found


@fault("Ctrl-C", "interrupted; .result holds")
def interrupted_twice_in_a_segment_it_ends_at_once(scene):
    def interrupted(engine, members, segment):
        interrupt()
        interrupt()
        raise AssertionError("the second one was held back")

    scene.patch.setattr(Engine, "advance", interrupted)
    return scene.stopped(Interrupted)


@fault("Ctrl-C", "interrupted; .result holds")
def interrupted_while_it_is_saved(scene):
    write = checkpoint_module._write

    def interrupted(*args):
        interrupt()
        write(*args)

    scene.patch.setattr(checkpoint_module, "_write", interrupted)
    return scene.stopped(Interrupted)


@fault("Ctrl-C", "interrupted; .result holds")
def interrupted_before_the_first_segment(scene):
    scene.patch.setattr(Engine, "prepare", interrupt)
    found = scene.stopped(Interrupted)
    assert not found.kept.updates.any()
    return found


# Killed, in a process of its own.

PROGRAM = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    import optax_cycles as oc
    oc.sweep.use_cpu_devices(2)
    from linear import sweep

    def progress(now):
        if now.done >= 200:
            os.kill(os.getpid(), signal.SIGKILL)

    sweep(checkpoint=sys.argv[1], progress=progress, **{options!r})
"""


@fault("kill", "-9")
def killed(scene):
    program = PROGRAM.format(tests=str(Path(__file__).parent), options=OPTIONS)
    command = [sys.executable, "-c", textwrap.dedent(program), str(scene.folder)]
    done = subprocess.run(command, check=False)
    said = str(done.returncode)
    return Outcome(said, None, scene.call, scene.straight, floor=200)


# Out of memory.


def no_memory_for(scene, fails, says="RESOURCE_EXHAUSTED: Out of memory"):
    """Allocations fail where `fails(first member, rows, calls before)`."""
    advance, calls = Engine.advance, []

    def limited(engine, members, segment):
        calls.append(1)
        first, rows = int(np.asarray(members.ident)[0]), len(members.status)
        if fails(first, rows, len(calls) - 1):
            raise jax.errors.JaxRuntimeError(says)
        return advance(engine, members, segment)

    scene.patch.setattr(Engine, "advance", limited)


@fault("out of memory", "4 members at a time don't fit into memory; going on with 2")
def a_chunk_does_not_fit(scene):
    no_memory_for(scene, lambda first, rows, calls: first >= 4 and rows > 2)
    with pytest.warns(UserWarning, match="going on with") as said:
        kept = scene.call()
    scene.patch.undo()
    return Outcome(str(said[0].message), kept, scene.call, scene.straight)


@fault("out of memory", "2 members at a time don't fit into memory, and that is one")
def the_smallest_chunk_does_not_fit(scene):
    no_memory_for(scene, lambda first, rows, calls: first >= 4)
    with pytest.warns(UserWarning, match="going on with 2"):
        found = scene.stopped(checkpoint_every=1e9)
    assert found.kept.updates.ravel().tolist() == [STEPS] * 4 + [0] * 6
    return found


@fault("out of memory", "the batches can't be read again for fewer: give chunk=")
def batches_that_are_gone_cant_be_read_for_fewer(scene):
    call = scene._replace(folder=scene.folder.with_name("batches")).call
    no_memory_for(scene, lambda first, rows, calls: calls >= 7)
    with pytest.raises(SweepError) as caught:
        call(data=endless())

    def again(**more):
        return call(data=endless(), **more)

    scene.patch.undo()
    straight = sweep(endless(), **OPTIONS)
    return scene.after(caught.value, call=again, straight=straight, floor=0)


@fault("out of memory", "2 members at a time don't fit into memory, and that is one")
def no_memory_could_hold_a_member(scene):
    def init(key, hparams):
        return jnp.zeros(2**40)

    def step(state, hparams, batch, key):
        return state * hparams["learning_rate"], {"loss": state.mean()}

    huge = {"trainable": oc.Trainable(init, step), "validation": None}
    found = scene.stopped(**huge, checkpoint=None, chunk="auto")
    assert not found.kept.updates.any()
    return found


# Files that are damaged. `kept` is what the next call returns, going back or anew.


def largest_file(folder):
    return max(folder.rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def damaged(scene, damage, times=1):
    for folder in numbered(scene.folder)[-times:]:
        damage(folder)
    with pytest.warns(UserWarning, match="is damaged") as said:
        kept = scene.call()
    texts = [str(warning.message) for warning in said]
    assert len(texts) == times
    return Outcome(texts[-1], kept, scene.call, scene.straight)


BACK = r"the checkpoint .* is damaged \(.+\); going back to the one before"


@fault("corrupted file", BACK)
def arrays_are_truncated(scene):
    return damaged(scene, lambda folder: truncate(largest_file(folder)))


@fault("corrupted file", BACK)
def a_bit_of_the_arrays_is_flipped(scene):
    return damaged(scene, lambda folder: flip_a_bit(largest_file(folder)))


@fault("corrupted file", BACK)
def arrays_are_missing(scene):
    return damaged(scene, lambda folder: shutil.rmtree(folder / "arrays"))


@fault("corrupted file", BACK)
def the_manifest_is_missing(scene):
    return damaged(scene, lambda folder: (folder / "manifest.json").unlink())


@fault("corrupted file", BACK)
def the_manifest_is_truncated(scene):
    return damaged(scene, lambda folder: truncate(folder / "manifest.json"))


@fault("corrupted file", "manifest.json is not what was written")
def a_number_of_the_manifest_is_another(scene):
    def change(folder):
        manifest = folder / "manifest.json"
        content = json.loads(manifest.read_text())
        content["notes"]["position"] += 1
        manifest.write_text(json.dumps(content))

    return damaged(scene, change)


@fault("corrupted file", r"the checkpoint .* is damaged \(.+\); starting anew")
def both_checkpoints_are_damaged(scene):
    found = damaged(scene, lambda f: truncate(f / "manifest.json"), times=2)
    # What is written anew is kept, and not what is damaged.
    assert len(numbered(scene.folder)) == 2
    return found


# Folders that can't be written.


def refuses(scene, number):
    """From now on the system makes no folder inside that of the checkpoints."""
    mkdir = os.mkdir

    def refused(path, *rest, **more):
        if str(path).startswith(f"{scene.folder}{os.sep}"):
            raise OSError(number, os.strerror(number), str(path))
        return mkdir(path, *rest, **more)

    scene.patch.setattr(os, "mkdir", refused)


REFUSED = "checkpoint must be a folder that can be written, got .*"
UNWRITTEN = "a checkpoint can't be written in .*copy: .*"


@fault("unwritable folder", REFUSED + "exists")
def the_folder_is_a_file(scene):
    path = scene.folder.with_name("file")
    path.write_text("")
    return scene.stopped(ValueError, checkpoint=path)


@fault("unwritable folder", REFUSED + "Not a dir")
def the_folder_is_below_a_file(scene):
    path = scene.folder.with_name("file")
    path.write_text("")
    return scene.stopped(ValueError, checkpoint=path / "folder")


@fault("unwritable folder", REFUSED + "Permission")
def the_folder_is_of_someone_else(scene):
    refuses(scene, errno.EACCES)
    return scene.stopped(ValueError, checkpoint=scene.folder / "inside")


@fault("unwritable folder", UNWRITTEN + "Permission denied")
def permissions_change_on_the_way(scene):
    def progress(now):
        if now.done >= 200:
            refuses(scene, errno.EACCES)

    return scene.stopped(progress=progress)._replace(redone=40)


@fault("unwritable folder", UNWRITTEN + "No such file")
def the_folder_is_deleted_on_the_way(scene):
    def progress(now):
        if now.done >= 200:
            shutil.rmtree(scene.folder)

    return scene.stopped(progress=progress)._replace(redone=SPACE.size * STEPS, floor=0)


# Full disks.


@fault("full disk", UNWRITTEN + "No space left on device")
def no_space_for_a_folder(scene):
    def progress(now):
        if now.done >= 200:
            refuses(scene, errno.ENOSPC)

    return scene.stopped(progress=progress)._replace(redone=40)


@fault("full disk", UNWRITTEN + "File too large")
def no_space_for_the_arrays(scene):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def progress(now):
        if now.done >= 200:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    try:
        found = scene.stopped(progress=progress)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(scene.folder.glob("*.partial"))
    return found._replace(redone=40)


# Devices.


@fault(
    "exception while it runs", "run: stopped by JaxRuntimeError .*: INTERNAL: broken"
)
def the_device_fails(scene):
    no_memory_for(scene, lambda first, *_: first >= 7, says="INTERNAL: broken")
    found = scene.stopped(checkpoint_every=1e9)
    assert found.kept.updates.ravel().tolist() == [STEPS] * 7 + [0] * 3
    return found
