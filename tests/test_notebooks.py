"""The notebooks run from top to bottom, and show what they show when they run.

What a notebook says of its numbers it asserts itself: to run it is to test it.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
nbformat = pytest.importorskip("nbformat")


def read(path):
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_both_notebooks_are_there():
    assert [path.name for path in NOTEBOOKS] == [
        "quick-start.ipynb",
        "the-seeds-story.ipynb",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_was_run_once_from_top_to_bottom(path):
    notebook, code = read(path)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    # Warnings, and paths of the machine that it ran on, have no place in a document.
    assert all(output.get("name") != "stderr" for output in outputs)
    assert str(ROOT) not in path.read_text()
    images = [
        output.data["image/png"]
        for output in outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(images) >= 3
    assert max(map(len, images)) < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_assertions_hold(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    inherited = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), inherited]))
    notebook, code = read(path)
    assert any("assert " in cell.source for cell in code)
    for cell in code:
        cell.outputs = []
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()  # raises with the cell and its traceback
    assert all(cell.execution_count for cell in code)
    assert list(tmp_path.iterdir()) == []  # a notebook leaves no files behind
