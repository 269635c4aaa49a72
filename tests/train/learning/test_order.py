import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_mri.labels import Label
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.learning.order import Order
from edge_mri_train.training.run import resume, train


def uneven(phantoms: Path, folder: Path) -> Path:
    """The phantoms without half of the gliomas of two planes."""
    shutil.copytree(phantoms, folder)
    for name in ("glioma_axial", "glioma_coronal"):
        for file in sorted((folder / name).iterdir())[:2]:
            file.unlink()
    return folder


def drawn(order: Order, epoch: int) -> list[int]:
    return np.concatenate(list(order.batches(epoch))).tolist()


def test_the_weighted_sampler_draws_classes_equally_often(tiny):
    labels = [Label("glioma", "axial")] * 5 + [Label("pituitary")] * 12 + [Label("no_tumor")] * 23
    order = Order(labels, [Path("a")] * 40, tiny(sampler="weighted"))
    counts: Counter[Label] = Counter()
    for epoch in range(400):
        positions = drawn(order, epoch)
        assert len(positions) == order.steps * 8 == len(labels)
        counts.update(labels[position] for position in positions)
    mean = counts.total() / 3
    assert all(abs(counts[label] - mean) < 5 * mean**0.5 for label in set(labels))


def test_shuffling_draws_each_image_once(tiny):
    positions = drawn(Order([Label("glioma")] * 32, [Path("a")] * 32, tiny()), 1)
    assert sorted(positions) == list(range(32))
    assert positions != sorted(positions)


def test_half_of_the_images_drawn_are_free_of_tumour_where_it_was_asked_for(tiny):
    labels = [Label("glioma")] * 90 + [Label("no_tumor")] * 10
    order = Order(labels, [Path("a")] * 100, tiny(tumor_free=0.5))
    positions = np.array([drawn(order, epoch) for epoch in range(40)])
    assert abs((positions >= 90).mean() - 0.5) < 0.03


@pytest.mark.parametrize(("tumor_free", "share"), [(None, 0.6), (0.3, 0.3)])
def test_a_set_is_drawn_by_the_root_of_its_size_among_tumours_and_among_the_others(
    tiny, tumor_free, share
):
    counts = {
        ("a", "glioma"): 25,
        ("b", "pituitary"): 15,
        ("a", "no_tumor"): 50,
        ("b", "no_tumor"): 10,
    }
    images = [one for one, count in counts.items() for _ in range(count)]
    labels, sets = [Label(name) for _, name in images], [Path(name) for name, _ in images]
    order = Order(labels, sets, tiny(sampler="sets", tumor_free=tumor_free))
    seen = Counter(images[place] for epoch in range(300) for place in drawn(order, epoch))
    shares = {one: count / seen.total() for one, count in seen.items()}
    for free, part in ((True, share), (False, 1 - share)):
        roots = {one: n**0.5 for one, n in counts.items() if (one[1] == "no_tumor") is free}
        for one, root in roots.items():
            assert shares[one] == pytest.approx(part * root / sum(roots.values()), abs=0.01)


def test_sets_differ_in_size_so_that_drawing_them_by_set_trains_otherwise(
    tiny, tmp_path, phantoms, history
):
    data = (str(phantoms), str(uneven(phantoms, tmp_path / "set")))
    for name in ("shuffle", "sets"):
        config = tiny(data=data, epochs=1, sampler=name, tumor_free=0.5)
        train(config, tmp_path / name, NoProgress())
    one, other = (history(tmp_path / name)[0] for name in ("shuffle", "sets"))
    assert one["train_loss"] != other["train_loss"]


@pytest.mark.parametrize("option", [{"class_weights": "balanced"}, {"sampler": "weighted"}])
def test_balancing_changes_what_is_learned_from_uneven_classes_alone(
    tiny, tmp_path, phantoms, option, history, same_run
):
    data = (str(uneven(phantoms, tmp_path / "set")),)
    for name, values in (("plain", {}), ("balanced", option)):
        train(tiny(data=data, epochs=1, **values), tmp_path / name, NoProgress())
    plain, balanced = (history(tmp_path / name)[0] for name in ("plain", "balanced"))
    assert plain["train_loss"] != balanced["train_loss"]
    shutil.copytree(tmp_path / "balanced", tmp_path / "again")
    (tmp_path / "again" / "last.pt").unlink()
    resume(tmp_path / "again", NoProgress())
    same_run(tmp_path / "balanced", tmp_path / "again")
