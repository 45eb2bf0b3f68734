"""A budget that is a time is kept, whatever the machine does meanwhile."""

import pytest
from test_tune import tune

import optax_cycles as oc
from optax_cycles.tuning import budget, work


@pytest.mark.slow
def test_a_time_is_kept():
    found = tune(budget="40s", steps=2000)
    assert found.budget["asked"] == "40s"
    assert 30 < found.budget["seconds"] < 44


class Clock:
    """A time that passes with the updates: a hundredth of a second for each."""

    def __init__(self, monkeypatch, stalls=None):
        self.now, self.done, self.stalls = 0.0, 0, stalls
        self.began = {}
        for module in (budget, work):
            monkeypatch.setattr(module.time, "monotonic", lambda: self.now)

    def __call__(self, now):
        self.now += 0.01 * (now.done - self.done)
        self.done = now.done
        began = self.began.setdefault(now.step, self.now)
        step, after = self.stalls or (None, 0.0)
        if now.step == step and self.now >= began + after:
            self.now += 1000.0


def test_seconds_are_shared_out_as_updates_are(monkeypatch):
    found = tune(budget="100s", progress=Clock(monkeypatch))
    assert 90 < found.budget["seconds"] < 105
    seconds = [step.seconds for step in found.evidence]
    for took, share in zip(seconds, (0.2, 0.45, 0.12, 0.23), strict=True):
        assert took == pytest.approx(share * 95, abs=8)


def test_a_machine_that_stalls_has_fewer_finalists(monkeypatch):
    found = tune(budget="100s", progress=Clock(monkeypatch, ("final", 12.0)))
    final = found.evidence[-1]
    assert found.complete
    assert "there was no time for" in final.learned
    assert found.scores
    assert final.rows[0]["learning_rate"] == found.learning_rate
    # Whoever is there has been trained with as many seeds as the others.
    assert len({len(row["scores"]) for row in final.rows}) == 1
    assert len(final.rows) == len(final.curves["settings"])
    curves = final.curves["validation"]["loss"]
    assert not any(None in seed for one in curves for seed in one)


def test_a_time_that_is_over_before_the_last_step_leaves_what_was_found(monkeypatch):
    found = tune(budget="100s", progress=Clock(monkeypatch, ("schedule", 2.0)))
    assert not found.complete
    assert [step.name for step in found.evidence] == [
        "learning rate",
        "momentum and decay",
    ]
    # What is best by all scores together may not be whoever had the best one.
    tried = [row["learning_rate"] for row in found.evidence[-1].rows[:12]]
    assert found.learning_rate in tried
    assert found.schedule == "one_cycle"


def test_a_time_that_is_over_before_anything_is_found_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"budget must be time enough .* got '100s'"):
        tune(budget="100s", progress=Clock(monkeypatch, ("learning rate", 2.0)))


def test_the_clock_of_a_stopped_tuning_goes_on(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    first = budget.Budget("tune", "60s")
    first.keep(tmp_path / "folder" / "seconds.txt")
    now[0] += 40.0
    first.tick()
    now[0] = 7.0  # another process, another clock
    second = budget.Budget("tune", "60s")
    second.keep(tmp_path / "folder" / "seconds.txt")
    assert second.seconds == pytest.approx(40.0)
    now[0] += 22.0
    second.check(enough=False)
    now[0] += 2.0
    with pytest.raises(budget.OutOfTime):
        second.check(enough=False)


@pytest.mark.slow
def test_a_time_goes_on_with_what_was_decided(tmp_path, monkeypatch):
    class Stopping(Clock):
        def __call__(self, now):
            super().__call__(now)
            if now.step == "final":
                raise KeyboardInterrupt

    class Reading(Clock):
        """What was trained is read, which takes no time, until the last step."""

        def __call__(self, now):
            self.done = self.done if now.step == "final" else now.done
            super().__call__(now)

    with pytest.raises(oc.sweep.Interrupted) as caught:
        tune(progress=Stopping(monkeypatch), checkpoint=tmp_path, budget="100s")
    clock = Reading(monkeypatch)
    found = tune(checkpoint=tmp_path, budget="100s", progress=clock)
    before = caught.value.result.evidence
    assert [s.rows for s in found.evidence[: len(before)]] == [s.rows for s in before]
    assert clock.now < 30
    # What the first call took counts.
    assert 70 < found.budget["seconds"] < 105


@pytest.mark.slow
def test_no_time_is_lost_where_a_tuning_is_over(tmp_path, monkeypatch):
    """Whatever it takes to start again is not what stops it."""
    first = tune(checkpoint=tmp_path, budget="100s", progress=Clock(monkeypatch))
    (tmp_path / "seconds.txt").write_text("300.0")
    again = tune(checkpoint=tmp_path, budget="100s")
    assert again.complete
    assert again.to_python() == first.to_python()
    assert again.scores == first.scores


class Slower(Clock):
    """Four times as slow after the range test as it was before."""

    def __call__(self, now):
        before = self.now
        super().__call__(now)
        if now.step != "learning rate":
            self.now += 3 * (self.now - before)


@pytest.mark.slow
def test_what_was_cut_stays_cut_where_it_goes_on(tmp_path, monkeypatch):
    class Stopping(Slower):
        def __call__(self, now):
            super().__call__(now)
            if now.step == "final":
                raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        tune(progress=Stopping(monkeypatch), checkpoint=tmp_path, budget="200s")
    assert list(tmp_path.glob("*.cut"))
    (tmp_path / "seconds.txt").write_text("100.0")
    found = tune(checkpoint=tmp_path, budget="200s")
    before = caught.value.result.evidence
    assert [s.rows for s in found.evidence[: len(before)]] == [s.rows for s in before]
    assert found.complete


@pytest.mark.slow
def test_a_slow_machine_leaves_time_for_the_final(monkeypatch):
    found = tune(budget="200s", progress=Slower(monkeypatch))
    assert found.complete
    assert [step.name for step in found.evidence][-1] == "final"
    assert found.budget["seconds"] < 215
