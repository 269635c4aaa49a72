import numpy as np
import pytest

from edge_mri.terminal.progress import NoProgress
from edge_mri_train.duplicates import candidates
from edge_mri_train.duplicates.candidates import find_candidates
from edge_mri_train.duplicates.descriptors import turn
from edge_mri_train.duplicates.fingerprint import fingerprint_pixels


@pytest.fixture(scope="module")
def thumbnails(heads):
    return [fingerprint_pixels(head).thumbnail for head in heads]


def pairs_of(found):
    return set(zip(found.moving.tolist(), found.target.tolist(), strict=True))


def test_each_pair_comes_once_and_none_with_itself(thumbnails):
    found = find_candidates([*thumbnails, *thumbnails], NoProgress())
    unordered = [frozenset(pair) for pair in pairs_of(found)]
    assert len(unordered) == len(found) == len(set(unordered))
    assert all(len(pair) == 2 for pair in unordered)


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_image_is_found_with_its_symmetry(thumbnails, symmetry):
    images = [*thumbnails, turn(thumbnails[7], symmetry)]
    found = find_candidates(images, NoProgress())
    best = found[found.moving + found.target == 7 + len(thumbnails)]
    best = best[np.isin(best.moving, (7, len(thumbnails)))]
    assert len(best) == 1
    assert best.view[0] == 0
    assert best.likeness[0] > 0.99
    turned = turn(images[int(best.moving[0])], int(best.symmetry[0]))
    assert np.array_equal(turned, images[int(best.target[0])])


def test_one_image_has_no_candidates(thumbnails):
    assert len(find_candidates(thumbnails[:1], NoProgress())) == 0


@pytest.mark.parametrize("singly_below", [0, 10**6])
def test_the_number_of_threads_does_not_matter(thumbnails, singly_below, monkeypatch):
    monkeypatch.setattr(candidates, "_SINGLY_BELOW", singly_below)
    monkeypatch.setattr(candidates, "_CHUNK", 7)
    answers = []
    for threads in (1, 3):
        monkeypatch.setattr(candidates, "available_threads", lambda threads=threads: threads)
        answers.append(find_candidates(thumbnails, NoProgress()))
    for column in ("moving", "target", "symmetry", "view", "likeness"):
        assert np.array_equal(getattr(answers[0], column), getattr(answers[1], column))


def test_the_inverted_file_finds_what_matters(thumbnails, monkeypatch):
    images = [*thumbnails, *(turn(thumbnail, 5) for thumbnail in thumbnails)]
    monkeypatch.setattr(candidates, "_SINGLY_BELOW", 0)
    found = {frozenset(pair) for pair in pairs_of(find_candidates(images, NoProgress()))}
    count = len(thumbnails)
    assert {frozenset((i, i + count)) for i in range(count)} <= found
