"""The packaged model's answers to twelve phantoms, as they were when it was exported.

The phantoms are stored: other versions of OpenCV and NumPy draw some pixels otherwise.
`.ci/wheel-test` runs this with the oldest and the newest onnxruntime that pyproject.toml allows.
After another model was put in its place: `python tests/runtime/test_expected.py`.
"""

import json
from pathlib import Path

import pytest

from edge_mri.classifier import Classifier

FOLDER = Path(__file__).with_name("expected")
ANSWERS = FOLDER / "answers.json"


def answers() -> dict[str, dict[str, float]]:
    """The probabilities of each phantom."""
    classifier = Classifier.load(device="cpu")
    found = {}
    for file in sorted(FOLDER.glob("*.png")):
        prediction = classifier.predict(file)
        found[file.stem] = {**prediction.type_probabilities, **prediction.plane_probabilities}
    return found


def test_the_shipped_model_answers_phantoms_as_it_did_when_it_was_exported():
    expected = json.loads(ANSWERS.read_text(encoding="utf-8"))
    found = answers()
    assert set(found) == set(expected)
    assert len(found) == 12
    for name, probabilities in expected.items():
        assert found[name] == pytest.approx(probabilities, abs=0.002), name


if __name__ == "__main__":
    ANSWERS.write_text(json.dumps(answers(), indent=1) + "\n", encoding="utf-8")
