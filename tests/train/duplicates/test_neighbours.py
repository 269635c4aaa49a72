from edge_mri_train.duplicates.neighbours import Neighbour, Neighbours
from edge_mri_train.duplicates.search import Duplicates, Edge

# 0, 2 and 5 have the same pixels; 1 and 3 too; 4 is near both; 6 is only related; 7 alone.
DUPLICATES = Duplicates(
    8,
    [
        Edge(0, 2, 1.0, "exact"),
        Edge(0, 4, 0.93, "near"),
        Edge(0, 5, 1.0, "exact"),
        Edge(1, 3, 1.0, "exact"),
        Edge(1, 4, 0.97, "near"),
        Edge(4, 6, 0.85, "related"),
    ],
)


def test_copies_come_first_and_do_not_name_the_image_itself():
    neighbours = Neighbours(DUPLICATES)
    assert neighbours.of(2) == [
        Neighbour(0, 1.0, "exact"),
        Neighbour(5, 1.0, "exact"),
        Neighbour(4, 0.93, "near"),
    ]


def test_near_duplicates_bring_their_copies_the_best_first():
    found = Neighbours(DUPLICATES).of(4)
    assert [(one.position, one.score) for one in found] == [
        (1, 0.97),
        (3, 0.97),
        (0, 0.93),
        (2, 0.93),
        (5, 0.93),
    ]
    assert {one.kind for one in found} == {"near"}


def test_neighbourhood_is_mutual():
    neighbours = Neighbours(DUPLICATES)
    found = {(a, one.position) for a in range(8) for one in neighbours.of(a)}
    assert found == {(b, a) for a, b in found}


def test_what_is_only_related_or_alone_has_none():
    neighbours = Neighbours(DUPLICATES)
    assert neighbours.of(6) == neighbours.of(7) == []
    assert [neighbours.first(one) for one in range(8)] == [0, 1, 0, 1, 4, 0, 6, 7]
