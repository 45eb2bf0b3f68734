"""Write `values.json`: one case of each live peer, with the peer's version.

    python tests/peers/record.py

The test run that has no peer compares with these values.
"""

import json
from importlib import metadata
from pathlib import Path

import cases_keras  # noqa: F401
import cases_torch  # noqa: F401
import cases_transformers  # noqa: F401
import peer_cases

VALUES = Path(__file__).parent / "values.json"
SEED = 0


def record():
    """The values of all cases, to nine digits: more than float32 has."""
    cases = [
        {
            "peer": peer,
            "name": name,
            "values": [float(f"{v:.9g}") for v in _theirs(peer, name)],
        }
        for peer, name in peer_cases.CASES
    ]
    versions = {peer: metadata.version(peer) for peer, _ in peer_cases.CASES}
    return {"seed": SEED, "versions": versions, "cases": cases}


def _theirs(peer, name):
    return peer_cases.built(peer, name, SEED).theirs()


def as_text(recorded):
    """JSON with a line for each case."""
    cases = ",\n  ".join(map(json.dumps, recorded["cases"]))
    rest = {key: value for key, value in recorded.items() if key != "cases"}
    head = json.dumps(rest)[:-1]
    return f'{head}, "cases": [\n  {cases}\n]}}\n'


if __name__ == "__main__":
    VALUES.write_text(as_text(record()))
    print(f"wrote {VALUES}")
