"""CIFAR-10 for the example of super-convergence, in small files of the real formats."""

import importlib
import io
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def parts():
    """The modules of the example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        cifar = importlib.import_module("_super_convergence_cifar")
        main = importlib.import_module("super_convergence").main
        yield SimpleNamespace(cifar=cifar, main=main)


@pytest.fixture(scope="module")
def batches():
    """Six files' worth of CIFAR-10's bytes, of ten images each."""
    rng = np.random.default_rng(0)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {
        name: (
            rng.integers(256, size=(10, 3072), dtype=np.uint8),
            rng.integers(10, size=10, dtype=np.uint8),
        )
        for name in names
    }


@pytest.fixture
def folder(tmp_path, batches):
    """The binary version."""
    for name, (images, labels) in batches.items():
        records = np.concatenate([labels[:, None], images], axis=1)
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    return tmp_path


class Python2(pickle._Pickler):
    """Writes strings as Python 2 did, in which CIFAR-10 was pickled."""

    def save(self, value, save_persistent_id=True):
        if isinstance(value, str | bytes):
            content = value.encode("latin1") if isinstance(value, str) else value
            self.write(b"T" + struct.pack("<i", len(content)) + content)
        else:
            super().save(value, save_persistent_id)


def as_python_2(value):
    file = io.BytesIO()
    Python2(file, 2).dump(value)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def write_pickles(folder, batches):
    for name, (images, labels) in batches.items():
        content = {"data": images, "labels": labels.tolist(), "batch_label": name}
        (folder / name).write_bytes(as_python_2(content))


def as_images(data):
    """Red, green and blue planes in rows, to [height, width, colour]."""
    return np.stack([data[:, i * 1024 :][:, :1024] for i in range(3)], -1).reshape(
        -1, 32, 32, 3
    )


def test_both_versions_of_the_files_are_read(parts, folder, batches, tmp_path_factory):
    pickled = tmp_path_factory.mktemp("pickled")
    write_pickles(pickled, batches)
    *five, last = batches.values()
    expected = as_images(np.concatenate([images for images, _ in five])) / 255.0
    labels = np.concatenate([labels for _, labels in five])
    for where in (folder, pickled):
        train, test = parts.cifar.cifar10(where)
        assert (train[0].dtype, train[1].dtype) == (np.float32, np.int32)
        mean = expected.mean(0)
        np.testing.assert_allclose(train[0], expected - mean, atol=1e-6)
        np.testing.assert_allclose(
            test[0], as_images(last[0]) / 255.0 - mean, atol=1e-6
        )
        np.testing.assert_array_equal(train[1], labels)
        np.testing.assert_array_equal(test[1], last[1])


def refused(parts, capsys, *words):
    """The one line, under the usage, with which the command ends."""
    with pytest.raises(SystemExit) as stop:
        parts.main(["--data", "cifar10", *map(str, words)])
    assert stop.value.code == 2
    printed = capsys.readouterr().err.splitlines()
    (line,) = [line for line in printed if "error: " in line]
    assert line == printed[-1]
    return line.split("error: ")[1]


def test_files_that_are_missing_or_wrong_are_refused(parts, folder, capsys):
    path = folder / "data_batch_3.bin"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    said = refused(parts, capsys, "--folder", folder)
    assert said == f"{path}: records must have 3073 bytes each, got 30729 bytes in all"
    path.write_bytes(b"")
    assert "got 0 bytes in all" in refused(parts, capsys, "--folder", folder)
    path.write_bytes(b"\x0b" + good[1:])
    said = refused(parts, capsys, "--folder", folder)
    assert said == f"{path}: labels must be below 10, got 11"
    path.unlink()
    said = refused(parts, capsys, "--folder", folder)
    assert said == f"{folder}: neither data_batch_3.bin nor data_batch_3 is there"


def test_a_pickle_can_hold_nothing_but_arrays(parts, folder, capsys, batches):
    (folder / "data_batch_1.bin").unlink()
    path = folder / "data_batch_1"
    harmful = folder / "harmed"
    # What unpickling would call: open(harmful, "w").
    path.write_bytes(pickle.dumps({b"data": Open(harmful)}))
    said = refused(parts, capsys, "--folder", folder)
    assert said.startswith(
        f"{path}: the file must be a pickled dict of data and labels"
    )
    assert "io.open has no place in it" in said
    assert not harmful.exists()
    images, labels = batches["data_batch_1"]
    path.write_bytes(as_python_2({"data": images[:, 1:], "labels": labels.tolist()}))
    said = refused(parts, capsys, "--folder", folder)
    assert "data must be 3072 bytes for each of the 10 labels, got uint8 (10, " in said
    path.write_bytes(as_python_2({"data": images}))
    assert "got KeyError: b'labels'" in refused(parts, capsys, "--folder", folder)


class Open:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_cifar_comes_through_scikit_learn_too(parts, monkeypatch):
    row = np.arange(3072) % 256
    bunch = SimpleNamespace(
        data=np.broadcast_to(row.astype(np.uint8), (60_000, 3072)),
        target=np.arange(60_000) % 10,
    )
    fake = SimpleNamespace(fetch_openml=lambda name, **how: {"CIFAR_10": bunch}[name])
    monkeypatch.setitem(sys.modules, "sklearn.datasets", fake)
    train, test = parts.cifar.fetch()
    assert (train[0].shape, test[0].shape) == ((50_000, 3072), (10_000, 3072))
    assert test[1][:3].tolist() == [0, 1, 2]
    bunch.data = bunch.data[:, 1:]
    with pytest.raises(ValueError, match="60000 images of 3072 pixels"):
        parts.cifar.fetch()


@pytest.mark.slow
def test_a_residual_network_trains_on_cifars_files(parts, folder):
    words = "--data cifar10 --depth 8 --seeds 1 --steps 8 --batch 25 --pad 4"
    found = parts.main([*words.split(), "--folder", str(folder)])
    assert (found["data"], found["examples"], found["validation"]) == (
        "CIFAR-10",
        50,
        10,
    )
    assert (found["short"], found["long"], found["range_test"]) == (1, 8, None)
    peaks = [one["peak"] for one in found["trainings"].values()]
    assert peaks == pytest.approx([0.35, 0.35, 3.0, 3.0])
    assert {one["holds"] for one in found["findings"].values()} == {None}
