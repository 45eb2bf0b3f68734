"""Our schedules against recorded values of the peers; needs none of them."""

import json
import random

import peer_cases
import pytest
from record import VALUES

RECORDED = json.loads(VALUES.read_text())
CASES = {(case["peer"], case["name"]): case["values"] for case in RECORDED["cases"]}


def test_every_case_is_recorded_with_its_peers_version():
    assert set(CASES) == set(peer_cases.CASES)
    assert set(RECORDED["versions"]) == {peer for peer, _ in CASES}
    assert all(RECORDED["versions"].values())


@pytest.mark.parametrize(("peer", "name"), CASES, ids="-".join)
def test_ours_are_the_recorded_values(peer, name):
    found = peer_cases.built(peer, name, RECORDED["seed"])
    peer_cases.assert_agrees(found, CASES[peer, name])


def test_a_seed_stands_for_the_same_numbers_everywhere():
    drawn = random.Random("a case 0").random()
    assert drawn == pytest.approx(0.5410857153004721, abs=1e-16)
