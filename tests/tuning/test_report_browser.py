"""The report in a browser: it opens by itself, fits, and can be read."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import recipes
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is installed"
    ),
]
NIGHT, DAY = 0, 1
# Puts the page into a frame of some width, and what one finds there into the page.
FRAME = """<!doctype html><body style="margin:0">
<iframe src="report.html" style="width:{width}px;height:2000px;border:0"></iframe>
<script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument;
  const root = page.documentElement;
  const sizes = Array.from(page.querySelectorAll("svg"), (svg) => {{
    const box = svg.getBoundingClientRect();
    return [box.width, box.height];
  }});
  const inner = Array.from(page.querySelectorAll("svg text"), (text) => {{
    const box = text.getBoundingClientRect();
    return [box.left, box.right, box.height];
  }});
  const codes = Array.from(page.querySelectorAll("pre"), (code) => {{
    return [code.scrollWidth, code.clientWidth, code.getBoundingClientRect().top];
  }});
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify({{
    width: page.defaultView.innerWidth,
    scrolls: root.scrollWidth,
    title: page.title,
    figures: sizes,
    texts: inner,
    copy: !page.getElementById("copy").hidden,
    button: page.getElementById("copy").getBoundingClientRect().bottom,
    codes: codes,
  }});
  document.body.append(found);
}};
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    recipes.built().report(folder / "report.html")
    return folder


def browse(folder, name, *flags, scheme=DAY):
    """Standard output and log of a browser that opens a page of the folder."""
    log = folder / "requests.json"
    done = subprocess.run(
        [
            BROWSER,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            f"--log-net-log={log}",
            f"--user-data-dir={folder / 'profile'}",
            f"--blink-settings=preferredColorScheme={scheme}",
            *flags,
            (folder / name).as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout, done.stderr


def measure(folder, width):
    """What a frame of this width finds out about the page in it."""
    (folder / "frame.html").write_text(FRAME.format(width=width))
    dom, _ = browse(folder, "frame.html", "--window-size=1400,2100", "--dump-dom")
    return json.loads(re.search(r'<pre id="found">(.*?)</pre>', dom, re.S)[1])


def picture(folder, scheme):
    """The page in a wide window, `[height, width, 3]`."""
    path = folder / f"{scheme}.png"
    browse(
        folder,
        "report.html",
        "--window-size=1200,6000",
        f"--screenshot={path}",
        scheme=scheme,
    )
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_it_opens_without_errors_and_asks_for_nothing_else(folder):
    dom, log = browse(folder, "report.html", "--dump-dom")
    assert "Train with oc.sgdw" in dom
    # The browser writes what a page's console says, and what a policy refuses, here.
    assert not re.search(r"CONSOLE", log), log
    asked = re.findall(r'"url":"(\w+:[^"]*)"', (folder / "requests.json").read_text())
    page = (folder / "report.html").as_uri()
    assert {url for url in asked if url.startswith("file:")} <= {page}


def test_a_console_error_would_be_seen(folder):
    (folder / "broken.html").write_text(
        (folder / "report.html")
        .read_text(encoding="utf-8")
        .replace("</main>", '</main><script>unknown()</script><img src="x.png">'),
        encoding="utf-8",
    )
    _, log = browse(folder, "broken.html", "--dump-dom")
    assert "unknown is not defined" in log
    assert "x.png" in log


@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_and_its_figures_are_there(folder, width):
    found = measure(folder, width)
    assert found["width"] == width
    assert found["scrolls"] <= width
    # The rate, the momentum and the loss of a training; costs; 1 + 3 + 1 + 2 of steps.
    assert len(found["figures"]) == 11
    for wide, high in found["figures"]:
        assert 300 < wide <= width
        assert high > 100
    assert len(found["texts"]) > 50
    for left, right, high in found["texts"]:
        assert left >= 0
        assert right <= width
        assert high >= 8
    assert found["copy"]
    assert found["button"] < found["codes"][0][2]  # it hides no line


def test_in_a_wide_window_the_code_can_be_read_without_scrolling(folder):
    codes = measure(folder, 1200)["codes"]
    assert len(codes) == 2
    for needed, there, _ in codes:
        assert needed <= there


def test_day_and_night_differ_and_both_can_be_read(folder):
    day, night = picture(folder, DAY), picture(folder, NIGHT)
    assert day.shape == night.shape
    # Paper covers most of it, and what is on it stands out.
    assert np.median(day) > 230
    assert np.median(night) < 40
    assert day.min() < 40
    assert night.max() > 220
    # Where there is ink by day, there is ink by night.
    inked = [
        np.abs(page - np.median(page, axis=(0, 1))).max(2) > 60 for page in (day, night)
    ]
    assert (inked[0] & inked[1]).sum() > 0.8 * max(part.sum() for part in inked)
