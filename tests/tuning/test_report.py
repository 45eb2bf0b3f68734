"""The report says what the recipe holds, whole and escaped, in one page of its own."""

import dataclasses
import math
import re
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import pytest
import recipes
from flax import nnx
from flax.training.train_state import TrainState
from scipy import stats

import optax_cycles as oc
from optax_cycles.tuning import Recipe
from optax_cycles.tuning.family import family_of
from optax_cycles.tuning.report import report_page

VOID = {"meta", "link"}
OPTIMIZERS = ("sgd", "adam", "rmsprop", "lion", "adamw", "sgdw")
HOSTILE = "<script>alert('x')</script> & \"q\" --> ]]> $x_1$ \x07 \ud800 loß"


class Page(HTMLParser):
    """A page as a browser sees it: elements, texts, tables."""

    def __init__(self, source):
        super().__init__()
        self.open, self.elements, self.tables = [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        element = (tag, dict(attributes), [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(element[2])

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, texts in self.open:
            texts.append(data)

    def all(self, tag, **wanted):
        """Elements as (attributes, text)."""
        return [
            (attributes, "".join(texts))
            for name, attributes, texts in self.elements
            if name == tag and wanted.items() <= attributes.items()
        ]

    def text(self, tag, **wanted):
        """The text of the one such element."""
        ((_, text),) = self.all(tag, **wanted)
        return text

    def rows(self):
        return [["".join(cell) for cell in row] for t in self.tables for row in t]

    def cards(self):
        """From what a number is to itself and what is said of it."""
        terms = [text for _, text in self.all("dt")]
        return dict(zip(terms, (text for _, text in self.all("dd")), strict=True))


def page(recipe):
    return Page(str(report_page(recipe)))


@pytest.fixture(scope="module")
def source():
    return str(report_page(recipes.built()))


@pytest.fixture(scope="module")
def whole(source):
    return Page(source)


def test_the_head_says_the_settings_in_a_sentence(whole):
    said = whole.text("h1")
    assert said == (
        "Train with oc.sgdw under a 1cycle schedule for 40 updates of 32 examples: the "
        "learning rate peaks at 0.2, momentum falls from 0.95 to 0.85 meanwhile and "
        "weight decay is 0.0001."
    )
    rows = whole.rows()
    for setting in (["learning rate (peak)", "0.2"], ["momentum", "0.85 to 0.95"]):
        assert setting in rows


def test_the_score_has_its_spread_over_seeds(whole):
    scores = recipes.final_scores()[0]
    card = whole.cards()["Final validation loss"]
    assert card.startswith(f"{np.median(scores):.4g}")
    assert f"{scores.min():.4g} to {scores.max():.4g}" in card
    assert f"standard deviation {stats.tstd(scores):.2g}" in card


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_runner_up_is_compared_seed_by_seed(mode):
    best, second, third = recipes.final_scores()
    made = page(recipes.built(mode=mode))
    card = made.cards()["The runner-up is behind by"]
    mean, error = (float(x) for x in re.match(r"(\S+) ± ([\d.]+)", card).groups())
    # Twice a standard error, rounded to two figures.
    assert error == pytest.approx(stats.sem(second - best), rel=0.05)
    assert mean == pytest.approx(np.mean(second - best), abs=0.06 * error)
    (row,) = [
        row for row in made.rows() if row[0] == "C" and row[-1] == "more than noise"
    ]
    assert float(row[2].split()[0]) == pytest.approx(np.mean(third - best), abs=1e-3)


def runner_up(step, scores):
    """What the report says of a second with these scores."""
    second = {**step.rows[1], "scores": scores, "score": float(np.median(scores))}
    rows = (step.rows[0], second, *step.rows[2:])
    evidence = (dataclasses.replace(step, rows=rows),)
    return page(recipes.built(evidence=evidence)).cards()["The runner-up is behind by"]


def test_what_luck_explains_is_called_noise():
    step = recipes.final_step()
    shift = np.array([0.01, -0.01, 0.02, -0.01, 0.0])
    scores = [float(s) for s in np.array(step.rows[0]["scores"]) + shift]
    assert "within noise, either will do" in runner_up(step, scores)


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [
        ([0.002, -0.05, 0.03, 0.002, -0.009], "within noise, either will do"),
        ([-0.04, -0.05, 0.002, -0.04, -0.05], "but the median decides"),
    ],
)
def test_a_runner_up_that_the_mean_prefers_is_said_to_be_behind_by_the_median(
    shift, verdict
):
    """The second by its median, which decides, may be the first by its mean."""
    best = np.array([0.30, 0.20, 0.25, 0.31, 0.19])
    step = recipes.final_step()
    first = {**step.rows[0], "scores": best.tolist(), "score": float(np.median(best))}
    step = dataclasses.replace(step, rows=(first, *step.rows[1:]))
    scores = best + shift
    assert (scores.mean() < best.mean()) & (np.median(scores) > np.median(best))
    card = runner_up(step, scores.tolist())
    assert card.startswith(f"{np.median(scores) - np.median(best):.3g} by the median")
    ahead, error = re.search(r"ahead by (\S+) ± (\S+) \(", card).groups()
    assert float(ahead) == pytest.approx(-np.mean(shift), rel=0.01)
    assert float(error) == pytest.approx(stats.sem(shift), rel=0.05)
    assert card.endswith(f"over 5 seeds): {verdict}")


def test_the_step_that_chooses_many_says_by_what(whole):
    (said,) = [text for _, text in whole.all("p") if "Gaussian process" in text]
    joint = whole.all("section", **{"class": "step"})[1][1]
    assert said in joint


def test_the_cost_says_what_was_asked_for_and_spent(whole):
    card = whole.cards()["Cost of tuning"]
    assert card.startswith("8.25 s")
    assert "1,960 updates" in card
    assert "2,000 updates" in card
    assert "49 whole trainings" in card


def test_the_code_is_that_of_the_recipe_and_runs(whole):
    code = whole.text("code", id="code")
    assert code == recipes.built().to_python()
    names = {"nnx": nnx, "TrainState": TrainState}
    exec(code, names)
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    params = {"w": jnp.ones(2)}
    lines = whole.text("code", id="use").splitlines()
    uses = [line for line in lines if not line.startswith("#")]
    assert len(uses) == 2
    for use in uses:
        exec(
            use, {**names, "model": model, "params": params} | {"model": _Model(model)}
        )


class _Model:
    """A model for NNX's optimizer, and one that has `apply`, as Linen's have."""

    def __new__(cls, model):
        model.apply = lambda params: params
        return model


def test_every_step_has_its_question_lesson_tables_and_cost(whole):
    recipe = recipes.built()
    headings = [text for _, text in whole.all("h2")]
    lessons = [
        text for given, text in whole.all("p") if given.get("class") == "learned"
    ]
    costs = [text for _, text in whole.all("p", **{"class": "cost"})]
    for place, step in enumerate(recipe.evidence, 1):
        assert f"{place} {step.name.capitalize()}" in headings
        assert f"Learned: {step.learned}." in lessons
        assert any(f"{step.updates:,} updates, {step.seconds:g} s" in c for c in costs)
    assert len(whole.all("p", **{"class": "question"})) == len(recipe.evidence)


def test_every_setting_that_was_tried_has_a_row(whole):
    rows = whole.rows()
    for step in recipes.built().evidence:
        for tried in step.rows:
            score = "failed" if tried["score"] is None else f"{tried['score']:.4g}"
            rate = f"{tried['learning_rate']:.4g}"
            wanted = {tried["schedule"], rate, score, str(tried["length"])}
            assert any(wanted <= set(row) for row in rows), wanted


def test_only_the_best_are_open(whole):
    closed = [text for _, text in whole.all("summary")]
    # 12 rates; 27 settings; 15 of schedules: 8 of each are open.
    assert closed == ["4 more", "19 more", "7 more"]


def test_other_values_say_how_far_behind_they_are(whole):
    """By NumPy, from the short trainings, of which there are the most."""
    rows = [row for row in recipes.joint_step().rows if row["length"] == 10]
    best = {
        decay: min(
            row["score"]
            for row in rows
            if row["weight_decay"] == decay and row["score"] is not None
        )
        for decay in recipes.DECAYS
    }
    found = {
        row[0]: row[1:3]
        for table in whole.tables
        for row in [["".join(cell) for cell in row] for row in table]
        if ["".join(cell) for cell in table[0]][:1] == ["weight decay"]
    }
    for decay, score in best.items():
        behind = score - min(best.values())
        expected = f"{behind:.3g}" if behind else "\N{EN DASH}"
        assert found[f"{decay:.4g}"] == [f"{score:.4g}", expected]


@pytest.mark.parametrize(
    "verdict", ["underfitting", "balanced", "overfitting", "unstable"]
)
def test_a_diagnosis_comes_with_advice(verdict):
    diagnosis = {"verdict": verdict, "reason": "of the curve", "advice": "do this"}
    said = page(recipes.built(diagnosis=diagnosis, evidence=()))
    lesson = said.text("p", **{"class": "learned"})
    assert lesson.startswith(f"{verdict.capitalize()}: ")
    assert [text for _, text in said.all("p") if text == "What to do: do this."]


@pytest.mark.parametrize("diagnosis", [None, {"verdict": None, "reason": "flat"}])
def test_no_diagnosis_is_said_to_be_none(diagnosis):
    text = str(report_page(recipes.built(diagnosis=diagnosis, evidence=())))
    assert ("There is no diagnosis" in text) == (diagnosis is None)
    assert ("The curves don't say" in text.replace("&#x27;", "'")) == bool(diagnosis)


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_an_incomplete_recipe_says_so_and_what_is_known(done):
    evidence = recipes.built().evidence[:done]
    made = page(
        recipes.built(complete=False, scores=(), diagnosis=None, evidence=evidence)
    )
    (badge,) = [t for given, t in made.all("p") if "badge" in given.get("class", "")]
    assert badge.startswith("incomplete")
    card = made.cards()["Final validation loss"]
    assert card.startswith("not known yet")
    if done:
        assert evidence[-1].name in badge
        best = min(r["score"] for r in evidence[-1].rows[:1])
        assert f"{best:.4g}" in card
    assert len(made.all("section", **{"class": "step"})) == done


def test_nothing_that_scored_is_said_too():
    evidence = tuple(
        dataclasses.replace(
            step,
            rows=tuple(
                {**row, "score": None, "scores": [None] * len(row["scores"])}
                for row in step.rows
            ),
            curves=None,
        )
        for step in recipes.built().evidence
    )
    made = page(recipes.built(evidence=evidence, scores=()))
    text = [text for _, text in made.all("p")]
    assert text.count("Nothing that was tried gave a score.") == len(evidence)
    empty = dataclasses.replace(evidence[0], rows=())
    assert "Nothing." in [t for _, t in page(recipes.built(evidence=(empty,))).all("p")]


def test_seeds_that_failed_are_counted():
    step = recipes.final_step()
    scores = [None, *step.rows[0]["scores"][1:]]
    rows = ({**step.rows[0], "scores": scores}, *step.rows[1:])
    evidence = (dataclasses.replace(step, rows=rows),)
    made = page(recipes.built(scores=tuple(scores[1:]), evidence=evidence))
    assert "; 1 seed failed;" in made.cards()["Final validation loss"]
    assert any(row[-1].endswith("5 seeds, 1 failed") for row in made.rows())


def test_one_seed_has_no_spread():
    made = page(recipes.built(seeds=1))
    cards = made.cards()
    assert "one seed: its spread is not known" in cards["Final validation loss"]
    assert "±" not in cards["The runner-up is behind by"]
    assert "one seed" in cards["The runner-up is behind by"]


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    list(zip(OPTIMIZERS, oc.tuning.SCHEDULES, strict=True)),
)
def test_optimizers_may_lack_momentum_and_decay(optimizer, schedule):
    family = family_of("test", optimizer)
    bare = {
        "momentum": 0.9 if family.momentum_name else None,
        "weight_decay": 0.01 if family.has_decay else None,
    }
    evidence = (recipes.rate_step(), recipes.schedule_step())
    lacking = [name for name, value in bare.items() if value is None]
    for step in evidence:
        for row in step.rows:
            for name in lacking:
                row.pop(name)
    made = page(
        recipes.built(family=family, schedule=schedule, evidence=evidence, **bare)
    )
    assert ("weight decay" in made.text("h1")) == family.has_decay
    head = {
        cell for table in made.tables for row in table for cell in map("".join, row)
    }
    assert ("weight decay" in head) == family.has_decay


def test_a_factory_without_momentum_has_no_word_of_it():
    def bare(learning_rate):
        return optax.sgd(learning_rate)

    family = family_of("test", bare)
    made = page(recipes.built(family=family, momentum=None, weight_decay=None))
    name, settings = made.text("h1").split(" under ")
    assert name.endswith("<locals>.bare")
    assert "momentum" not in settings
    assert "factory is what tune was given" in "".join(t for _, t in made.all("p"))


def test_batch_sizes_say_which_did_not_fit():
    rows = (
        {"batch_size": 64, **recipes.row([0.2], 5, **recipes.finalist("constant"))},
        {"batch_size": 16, **recipes.row([0.3], 20, **recipes.finalist("constant"))},
        {"batch_size": 4096, "length": 1, "score": None, "scores": []}
        | {"note": "does not fit into the memory"},
    )
    step = oc.Evidence("batch size", "64 is best", rows, 100, 1.0)
    made = page(recipes.built(evidence=(step,)))
    assert ["4096", "failed", "does not fit into the memory", ""] in made.rows()
    assert ["16", "0.3", "0.1", "0.2"] in made.rows()


def test_everything_is_escaped():
    step = recipes.final_step()
    curves = {**step.curves, "validation": {HOSTILE: step.curves["validation"]["loss"]}}
    rows = tuple({**row, "note": HOSTILE, HOSTILE: HOSTILE} for row in step.rows)
    for setting in curves["settings"]:
        setting[HOSTILE] = HOSTILE
    hostile = oc.Evidence(HOSTILE, HOSTILE, rows, 1, 1.0, curves)
    evidence = (
        *recipes.built().evidence[:3],
        dataclasses.replace(hostile, name="final"),
        hostile,
    )
    made = page(
        recipes.built(
            family=recipes.renamed(f"my module:{HOSTILE}"),
            metric=HOSTILE,
            evidence=evidence,
            diagnosis=dict.fromkeys(("verdict", "reason", "advice"), HOSTILE),
            versions={HOSTILE: HOSTILE},
            budget={"asked": HOSTILE},
        )
    )
    assert len(made.all("script")) == 1
    assert "alert" not in made.text("script")
    # In the tables, the lessons and the figures.
    cells = {cell for row in made.rows() for cell in row}
    assert HOSTILE in cells
    assert [t for _, t in made.all("p") if t == f"Learned: {HOSTILE}."]
    assert [t for _, t in made.all("text") if "validation <script>alert(" in t]
    assert len(made.all("svg")) >= 9


def test_half_letters_and_any_name_can_be_written(tmp_path):
    path = tmp_path / "report.html"
    recipes.built(metric="loss \ud800", evidence=()).report(path)
    assert "validation loss &#55296;" in path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(whole, source):
    assert not re.search(r"https?:|//\w|@import|@font-face|url\((?!#)", source)
    links = ("src", "href", "xlink:href", "srcset", "data", "action", "poster")
    for _, given, _ in whole.elements:
        for name in links:
            assert given.get(name, "#").startswith(("#", "data:"))
    (policy,) = [
        given["content"] for given, _ in whole.all("meta") if "http-equiv" in given
    ]
    assert policy.startswith("default-src 'none'")


def test_the_page_can_be_read_by_machines(whole, source):
    ids = [given["id"] for _, given, _ in whole.elements if "id" in given]
    assert len(ids) == len(set(ids))
    assert whole.all("html", lang="en")
    assert whole.all("meta", name="viewport")
    for given, _ in whole.all("svg"):
        assert given["role"] == "img"
        assert set(given["aria-labelledby"].split()) <= set(ids)
    assert all("scope" in given for given, _ in whole.all("th"))
    assert len(whole.all("caption")) == len(whole.tables)
    used = {given.get("href", "#")[1:] for _, given, _ in whole.elements}
    used |= set(re.findall(r"url\(#([^)]+)\)", source))
    assert used - {""} - {"ata:,"} <= set(ids)


def test_figures_take_the_colours_and_letters_of_the_page(whole, source):
    texts = whole.all("text")
    assert len(texts) > 50
    for given, _ in texts:
        assert "var(--sans)" in given["style"]
        assert not re.search(r"#[0-9a-f]{3}", given["style"])
    assert not re.search("#010203|#0072b2|#d55e00|DejaVu", source.split("</style>")[1])


def test_the_users_own_style_of_figures_is_neither_used_nor_changed():
    plain = str(report_page(recipes.built(evidence=())))
    with matplotlib.rc_context({"axes.facecolor": "red", "text.color": "lime"}):
        before = dict(matplotlib.rcParams)
        assert str(report_page(recipes.built(evidence=()))) == plain
        assert dict(matplotlib.rcParams) == before


def test_a_large_report_stays_small(tmp_path):
    steps = (
        recipes.rate_step(seeds=50, count=64),
        recipes.joint_step(count=300),
        recipes.final_step(seeds=200),
    )
    many = steps[1].rows[3:] * 10
    steps = (steps[0], dataclasses.replace(steps[1], rows=many), steps[2])
    path = tmp_path / "report.html"
    recipes.built(evidence=steps).report(path)
    assert path.stat().st_size < 1_000_000
    said = [text for _, text in Page(path.read_text(encoding="utf-8")).all("p")]
    assert (
        f"The {len(many) - 500} worst are left out here; recipe.evidence has them all."
        in said
    )


def test_text_and_marks_stand_out_by_day_and_by_night(whole):
    style = whole.text("style")
    day, night = [
        dict(re.findall(r"--(\w+): (#\w{6})", part))
        for part in style.split("@media")[:2]
    ]
    assert day.keys() == night.keys()
    marks = {"blue", "orange", "green", "red", "purple", "sky", "grey"}
    for colors in (day, night):
        for name in ("ink", "soft", "link", "good", "warn"):
            assert contrast(colors[name], colors["paper"]) >= 4.5
            assert contrast(colors[name], colors["card"]) >= 4.5
        for name in marks:
            assert contrast(colors[name], colors["paper"]) >= 3.0


def contrast(one, other):
    """The ratio of WCAG 2.2."""
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else math.pow((p + 0.055) / 1.055, 2.4) for p in parts
    ]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.slow
def test_a_recipe_that_was_tuned_and_one_that_was_read_report_the_same(tmp_path):
    problem = oc.problem_from_loss(
        lambda key: jnp.ones(2),
        lambda p, batch, key: jnp.mean((batch @ (p - 2.0)) ** 2),
    )
    data = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    recipe = oc.tune(
        problem, data, validation=data[:16], key=jax.random.key(0), steps=40
    )
    recipe.save(tmp_path / "recipe.json")
    again = Recipe.load(tmp_path / "recipe.json")
    made = page(recipe)
    assert report_page(again) == report_page(recipe)
    assert len(made.all("section", **{"class": "step"})) == len(recipe.evidence)
    assert f"{np.median(recipe.scores):.4g}" in made.cards()["Final validation loss"]
    assert len(made.all("svg")) >= 7
