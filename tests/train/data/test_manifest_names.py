import pytest

from edge_mri.labels import Label
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.manifest import Row, read_manifest, write_manifest


@pytest.mark.parametrize("name", ["=1.png", "-a.png", "'=1.png", "a\rb.png", "a\nb.png", 'a"b.png'])
def test_a_manifest_gives_back_any_name(name, tmp_path):
    sample = Sample(tmp_path / "@set", tmp_path.__class__(name), Label("glioma"), "train", "+g")
    write_manifest([Row(sample, "0" * 64, "+g")], tmp_path / "m.csv")
    (row,) = read_manifest(tmp_path / "m.csv")
    assert (row.sample.path, row.sample.root.name, row.group) == (sample.path, "@set", "+g")
    data = (tmp_path / "m.csv").read_bytes()
    assert not any(cell[:1] in (b"=", b"+", b"-", b"@") for cell in data.split(b","))
