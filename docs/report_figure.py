"""Draw the picture of a report in `README.md`: tune a small MLP on the digits.

    python docs/report_figure.py

Needs Chromium, which takes the picture; tuning takes a minute or two on a CPU.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax
from PIL import Image

import optax_cycles as oc
from optax_cycles.problems import digits_task

IMAGE = Path(__file__).parent / "images" / "report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT, SCALE = 1120, 1110, 1.5


def recipe() -> oc.Recipe:
    """The best settings of 300 updates of the digits' MLP."""
    task = digits_task("mlp")
    return oc.tune(
        task.problem,
        task.train,
        validation=task.validation,
        key=jax.random.key(0),
        steps=300,
    )


def picture(page: Path, image: Path) -> None:
    """The head of a page in a wide window, by day.

    Raises:
      FileNotFoundError: if there is no browser.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileNotFoundError(f"report_figure needs one of {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory() as profile:
        options = {
            "headless": "new",
            "user-data-dir": profile,
            "window-size": f"{WIDTH},{HEIGHT}",
            "force-device-scale-factor": SCALE,
            "blink-settings": "preferredColorScheme=1",
            "screenshot": image,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        always = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        subprocess.run(
            [browser, *always, *flags, page.resolve().as_uri()],
            check=True,
            timeout=120,
            capture_output=True,
        )
    # A palette takes a third of the bytes, and looks the same.
    Image.open(image).convert("RGB").quantize(256).save(image, optimize=True)


def main() -> None:
    """Draw the image, and leave the report where one asks for it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", type=Path, help="a recipe that was saved")
    parser.add_argument("--report", type=Path, help="where the report goes")
    given = parser.parse_args()
    found = oc.Recipe.load(given.recipe) if given.recipe else recipe()
    with tempfile.TemporaryDirectory() as folder:
        page = given.report or Path(folder) / "report.html"
        found.report(page)
        picture(page, IMAGE)
    print(f"drew {IMAGE.name} of {found}")


if __name__ == "__main__":
    main()
