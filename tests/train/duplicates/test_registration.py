import cv2
import numpy as np
import pytest

from edge_mri.terminal.progress import NoProgress
from edge_mri_train.duplicates.candidates import Candidates
from edge_mri_train.duplicates.descriptors import CUTS, turn
from edge_mri_train.duplicates.fingerprint import fingerprint_pixels
from edge_mri_train.duplicates.registration import agreements


@pytest.fixture(scope="module")
def thumbnails(heads):
    return [fingerprint_pixels(head).thumbnail for head in heads]


def agreement(target, moving, symmetry=0, view=0):
    pair = Candidates(
        moving=np.array([1]),
        symmetry=np.array([symmetry], np.int8),
        view=np.array([view], np.int8),
        target=np.array([0]),
        likeness=np.ones(1, np.float32),
    )
    (score,) = agreements([target, moving], pair, NoProgress())
    return score


def test_an_image_agrees_with_itself(thumbnails):
    assert agreement(thumbnails[0], thumbnails[0]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_image_agrees_when_it_is_turned(thumbnails, symmetry):
    turned = turn(thumbnails[3], symmetry)
    assert agreement(turned, thumbnails[3], symmetry) == pytest.approx(1, abs=0.01)


def test_a_crop_agrees_with_what_it_was_cut_from(thumbnails):
    cut = CUTS.index((0.15, 0.15))
    view = cut * len(CUTS) + cut
    inner = thumbnails[3][10:54, 10:54]
    crop = cv2.resize(inner, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert agreement(thumbnails[3], crop, view=view) > 0.9


def test_different_heads_do_not_agree(thumbnails):
    scores = [agreement(thumbnails[i], thumbnails[i + 1]) for i in range(0, len(thumbnails), 3)]
    assert max(scores) < 0.9


@pytest.mark.parametrize("value", [0, 128])
def test_blank_thumbnails_agree_with_nothing(thumbnails, value):
    blank = np.full((64, 64), value, np.uint8)
    assert agreement(blank, thumbnails[0]) == 0
    assert agreement(thumbnails[0], blank) == 0
    assert agreement(blank, blank) == 0
