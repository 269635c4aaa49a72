from collections import defaultdict

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.labels import parse_folder_name
from edge_mri_train.duplicates.descriptors import turn
from edge_mri_train.duplicates.fingerprint import Fingerprint, content_box, fingerprint_pixels
from edge_mri_train.duplicates.search import NEAR, RELATED, Duplicates, Edge, find_duplicates

HAND_MADE = Duplicates(
    8,
    [
        Edge(0, 3, 1.0, "exact"),
        Edge(0, 4, 0.95, "near"),
        Edge(1, 2, 0.92, "near"),
        Edge(2, 4, 0.85, "related"),
        Edge(5, 6, 1.0, "exact"),
    ],
)


def jpeg(image, quality):
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def resized(image, width, height):
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def gamma(image, power):
    return np.round(255 * (image / 255) ** power).astype(np.uint8)


def cropped(image, part):
    head = content_box(image).cut(image)
    y, x = (int(side * part) for side in head.shape)
    return head[y:-y, x:-x]


EDITS = {
    "jpeg": lambda image: jpeg(image, 30),
    "smaller": lambda image: resized(image, 96, 96),
    "stretched": lambda image: resized(image, 160, 120),
    "cropped": lambda image: cropped(image, 0.05),
    "framed": lambda image: cv2.copyMakeBorder(image, 30, 10, 20, 40, cv2.BORDER_CONSTANT),
    "gamma": lambda image: gamma(image, 1.4),
    "contrast": lambda image: (image * 0.6 + 20).astype(np.uint8),
    "several": lambda image: jpeg(gamma(turn(cropped(image, 0.04), 6), 0.8), 60),
} | {f"turn {s}": lambda image, s=s: turn(image, s) for s in range(1, 8)}


@pytest.fixture(scope="module")
def fingerprints(heads):
    return [fingerprint_pixels(head) for head in heads]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_image_is_near_its_source_alone(heads, fingerprints, edit):
    edited = [fingerprint_pixels(EDITS[edit](head)) for head in heads]
    count = len(heads)
    found = find_duplicates([*fingerprints, *edited])
    near = {(edge.a, edge.b) for edge in found.edges if edge.kind == "near"}
    assert near == {(i, i + count) for i in range(count)}


def test_different_heads_are_neither_copies_nor_near(fingerprints):
    found = find_duplicates(fingerprints)
    assert [edge for edge in found.edges if edge.kind != "related"] == []
    assert np.array_equal(found.groups(), np.arange(len(fingerprints)))


def test_kinds_are_what_the_scores_say(heads, fingerprints):
    edited = [fingerprint_pixels(gamma(turn(cropped(head, 0.1), 3), 1.6)) for head in heads]
    for edge in find_duplicates([*fingerprints, *edited, *edited]).edges:
        if edge.kind == "exact":
            assert edge.score == 1
        else:
            assert edge.score >= (NEAR if edge.kind == "near" else RELATED)
            assert (edge.score >= NEAR) == (edge.kind == "near")
        assert edge.a < edge.b


def test_copies_lead_to_the_first_and_only_it_is_compared(heads, fingerprints):
    edited = fingerprint_pixels(jpeg(heads[0], 40))
    found = find_duplicates([edited, fingerprints[0], edited, fingerprints[0], fingerprints[1]])
    assert [(edge.a, edge.b, edge.kind) for edge in found.edges] == [
        (0, 1, "near"),
        (0, 2, "exact"),
        (1, 3, "exact"),
    ]
    assert found.groups().tolist() == [0, 0, 0, 0, 1]
    assert found.groups(["exact"]).tolist() == [0, 1, 0, 1, 2]


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_images_does_not_matter(data, heads, fingerprints):
    images = [*fingerprints[::3], *(fingerprint_pixels(jpeg(head, 50)) for head in heads[::6])]
    order = data.draw(st.permutations(range(len(images))))
    straight = find_duplicates(images)
    shuffled = find_duplicates([images[position] for position in order])
    found = {(*sorted((order[edge.a], order[edge.b])), *edge[2:]) for edge in shuffled.edges}
    assert found == {tuple(edge) for edge in straight.edges}


def test_flat_images_are_copies_or_nothing(fingerprints):
    blank = [fingerprint_pixels(np.full((30, 30), grey, np.uint8)) for grey in (0, 1, 255, 0)]
    found = find_duplicates([*blank, *fingerprints[:3]])
    assert found.edges == [Edge(0, 3, 1.0, "exact")]


@pytest.mark.parametrize("count", [0, 1])
def test_few_images_have_no_duplicates(fingerprints, count):
    found = find_duplicates(fingerprints[:count])
    assert found.edges == []
    assert found.groups().tolist() == list(range(count))
    assert found.touching(np.ones(count, bool)).tolist() == [False] * count


def test_progress_is_told(fingerprints, recorder):
    bars = []
    recorder.bar = lambda label, length, bar=recorder.bar: (bars.append(label), bar(label, length))[
        1
    ]
    find_duplicates(fingerprints, recorder)
    assert bars == ["search", "compare"]


def test_groups_follow_the_kinds():
    assert HAND_MADE.groups().tolist() == [0, 1, 1, 0, 0, 2, 2, 3]
    assert HAND_MADE.groups(["exact"]).tolist() == [0, 1, 2, 0, 3, 4, 4, 5]
    assert HAND_MADE.groups(["exact", "near", "related"]).tolist() == [0, 0, 0, 0, 0, 1, 1, 2]
    assert HAND_MADE.groups([]).tolist() == list(range(8))


def test_touching_sees_copies_and_direct_edges_but_no_paths():
    def touching(*marked, kinds=("exact", "near")):
        found = HAND_MADE.touching(np.isin(np.arange(8), marked), kinds)
        return np.flatnonzero(found).tolist()

    assert touching(3) == [0, 4]  # 4 is near 0, of which 3 is a copy
    assert touching(4) == [0, 3]
    assert touching(0, 3) == [0, 3, 4]
    assert touching(2) == [1]
    assert touching(2, kinds=["exact", "near", "related"]) == [1, 4]
    assert touching(5, kinds=["near"]) == []
    assert touching(7) == []


def test_a_hash_alone_decides_about_copies(fingerprints):
    twin = Fingerprint(fingerprints[0].pixel_hash, fingerprints[1].thumbnail, is_flat=False)
    assert find_duplicates([fingerprints[0], twin]).edges == [Edge(0, 1, 1.0, "exact")]


@pytest.mark.parametrize(("name", "copies"), [("nickparvar", 216), ("artemis", 249)])
def test_the_copies_between_training_and_testing_are_found(real, name, copies):
    paths = [path for path in real if path.parts[0] == name]
    found = find_duplicates([copy_only(real[path]) for path in paths])
    in_training = np.array([path.parts[1] == "Training" for path in paths])
    assert found.touching(in_training, ["exact"])[~in_training].sum() == copies


def test_the_contradicting_planes_are_found(real):
    paths = [path for path in real if path.parts[0] == "artemis"]
    groups = find_duplicates([copy_only(real[path]) for path in paths]).groups()
    labels = defaultdict(set)
    for path, group in zip(paths, groups, strict=True):
        labels[group].add(parse_folder_name(path.parent.name))
    contradicting = [found for found in labels.values() if len(found) > 1]
    assert sorted(sorted(map(str, found)) for found in contradicting) == [
        ["glioma_axial", "glioma_coronal"],
        ["no_tumor_axial", "no_tumor_coronal"],
        ["no_tumor_axial", "no_tumor_coronal"],
    ]


def test_one_set_is_found_in_the_other_though_no_copy_is_exact(real):
    ours = [path for path in real if path.match("artemis/Testing/no_*/*")]
    theirs = [path for path in real if path.match("nickparvar/Testing/notumor/*")]
    found = find_duplicates([real[path] for path in [*ours, *theirs]])
    is_theirs = np.arange(len(ours) + len(theirs)) >= len(ours)
    assert len(ours) == 105
    assert not found.touching(is_theirs, ["exact"])[: len(ours)].any()
    assert found.touching(is_theirs, ["near"])[: len(ours)].all()


def copy_only(image):
    """Return the fingerprint as that of a flat image, so that only copies are looked for."""
    return Fingerprint(image.pixel_hash, image.thumbnail, is_flat=True)
