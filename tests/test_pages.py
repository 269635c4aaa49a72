"""The commands and the Python of the documents do what they say, run in order on phantoms."""

import json
import re
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edge_mri.classifier import SHIPPED_MODEL

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "api", ROOT / "examples")
    for path in folder.glob("*.md")
)
EPOCH = {"train": ["--epochs", "1"]}
SHORT = {**EPOCH, "export": ["--calibration-method", "minmax", "--max-drop", "100"]}
RUN_HERE = (
    "README.md", "docs/contract.md", "docs/export.md", "docs/index.md", "docs/judge.md",
    "docs/other-networks.md", "docs/records.md", "docs/run.md", "docs/train.md", "docs/volumes.md",
)  # fmt: skip
RUN_ELSEWHERE = {
    "docs/node.md": "tests/runtime/node/test_page.py",
    "docs/scale.md": "tests/test_scale_page.py",
    "docs/serve.md": "tests/runtime/serve/test_documented.py",
    "docs/your-own-data.md": "tests/test_own_data_page.py",
}
NOT_RUN = {
    "CONTRIBUTING.md": "what CI does",
    "docs/benchmarks.md": "takes minutes, and a machine that does nothing else",
    "docs/benchmarks-without-vnni.md": "takes minutes, and a machine that does nothing else",
    "docs/model-card.md": "takes days, and four image sets",
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_has_a_test_or_a_reason(page, document):
    known = {*RUN_HERE, *RUN_ELSEWHERE, *NOT_RUN}
    assert not page(document).blocks("sh", "console", "python") or document in known
    if document in RUN_ELSEWHERE:
        assert Path(document).name in (ROOT / RUN_ELSEWHERE[document]).read_text()


def test_the_readme_leads_from_a_folder_to_a_measured_model(page, tmp_path):
    ended = page("README.md").run(tmp_path, quick=SHORT)
    assert "PASS" in ended[0].stdout
    assert "group-clean" in ended[2].stdout
    assert ended[3].stdout.count("\n") == 1 + 72
    assert (tmp_path / "answers.csv").read_text().count("\n") == 1 + 72
    assert len(list((tmp_path / "maps").iterdir())) > 60


def test_start(page, tmp_path):
    (ended,) = page("docs/index.md").run(tmp_path)
    assert "PASS" in ended.stdout
    assert (tmp_path / "answers.html").stat().st_size > 10_000


def test_run(page, tmp_path):
    shell, python, device = page("docs/run.md").run(tmp_path)
    assert shell.stdout.startswith("status ")
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 24
    assert python.stdout.count("\n") > 12
    assert json.loads(device.stdout)["passed"] is True


def test_train_then_export(page, tmp_path):
    page("docs/train.md").run(tmp_path, quick=EPOCH)
    assert (tmp_path / "runs/mine/checkpoint.pt").is_file()
    assert (tmp_path / "sheet.png").is_file()
    (ended,) = page("docs/export.md").run(tmp_path, quick=SHORT)
    assert (tmp_path / "runs/mine/model_int8.golden.json").is_file()
    assert "uint8 (N, 1, 160, 160)" in ended.stdout


def test_judge(page, tmp_path):
    (ended,) = page("docs/judge.md").run(tmp_path)
    assert json.loads((tmp_path / "judged.json").read_text())["asked"] == 48
    assert "group-clean" in ended.stdout


def test_contract(page, phantoms, tmp_path):
    pytest.importorskip("cryptography", reason="needs the extra [sign]")
    shutil.copytree(phantoms, tmp_path / "scans")
    shutil.copy(SHIPPED_MODEL, tmp_path / "model.onnx")
    (ended,) = page("docs/contract.md").run(tmp_path)
    assert "48 images" in ended.stderr


def test_records(page, tmp_path):
    opened = page("docs/records.md")
    (block,) = opened.blocks("python")
    given = r"record = {'path': r'a\xff.png'}" + "\n"
    told = "\nimport os\nprint(os.fsencode(meant(record['path'])))"
    (ended,) = opened.run(tmp_path, blocks=[("python", given + block[1] + told)])
    assert ended.stdout == "b'a\\xff.png'\n"


def test_other_networks(page, phantoms, tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra [train]")
    torchvision = pytest.importorskip("torchvision", reason="needs the extra [train]")
    opened = page("docs/other-networks.md")
    shutil.copytree(phantoms, tmp_path / "images")
    (own,) = (text for _, text in opened.blocks("python") if text.startswith("# mynets.py"))
    (tmp_path / "mynets.py").write_text(own, encoding="utf-8")
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=4).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(1, 3, 64, 64),), tmp_path / "theirs.onnx", dynamo=False
        )
    blocks = opened.blocks("sh", "python")
    assert sum(kind == "sh" for kind, _ in blocks) >= 3
    known = [one for one in blocks if "timm:" not in one[1] or find_spec("timm") is not None]
    opened.run(tmp_path, blocks=known)
    assert (tmp_path / "again.onnx").is_file()
    assert (tmp_path / "module.onnx").is_file()


@pytest.fixture
def volumes(tmp_path) -> Path:
    """What docs/volumes.md names: a clinical volume, a pair, a study of two folders."""
    nib = pytest.importorskip("nibabel", reason="needs the extra [nifti]")
    pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    rng = np.random.default_rng(0)
    clinical = rng.integers(0, 900, (64, 64, 12)).astype(np.int16)
    nib.save(nib.Nifti1Image(clinical, np.diag([3.6, 3.6, 9.5, 1])), tmp_path / "head.nii.gz")
    nib.save(nib.Nifti1Pair(clinical, np.diag([3.6, 3.6, 9.5, 1])), tmp_path / "pair.img")
    slice_ = pydicom.dcmread(Path(pydicom.__file__).parent / "data/test_files/MR_small.dcm")
    for number in range(6):
        slice_.ImagePositionPatient = [0, 0, 5.0 * number]
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number + 1}"
        (tmp_path / f"study/{number % 2}").mkdir(parents=True, exist_ok=True)
        slice_.save_as(tmp_path / f"study/{number % 2}/{9 - number}.dcm")
    return tmp_path


def test_volumes(page, volumes, monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    opened = page("docs/volumes.md")
    (block,) = opened.blocks("sh")
    lines = [("sh", line) for line in block[1].splitlines()]
    for (_, line), ended in zip(lines, opened.run(volumes, blocks=lines), strict=True):
        assert "\nvolume '" in ended.stderr, line
        assert "pair.hdr" not in line or "volume 'pair.hdr': 12 slices" in ended.stderr
    (volume,) = map(json.loads, (volumes / "volumes.jsonl").read_text().splitlines())
    assert (volume["planes"], volume["slices"]) == (["axial"], 12)
    assert len((volumes / "slices.csv").read_text().splitlines()) == 1 + 12 + 64 + 64
    assert len((volumes / "slices.jsonl").read_text().splitlines()) == 12 + 64
    assert b"study," in (volumes / "volumes.csv").read_bytes()
    assert (volumes / "volumes.csv").read_text().count("\n") == 2
    assert (volumes / "page.html").stat().st_size > 10_000


def test_the_readme_is_one_screen_and_its_tables_are_the_figures():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    from readme_tables import written

    record = ROOT / "benchmarks" / "results" / "2026-11-23.json"
    assert written(text, ROOT / "docs" / "figures", record) == text


def test_the_site_has_every_page_in_its_contents():
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = set(re.findall(r": ([\w/-]+\.md)$", contents, re.MULTILINE))
    pages = {
        path.relative_to(ROOT / "docs").as_posix()
        for folder in ("", "api")
        for path in (ROOT / "docs" / folder).glob("*.md")
    }
    assert listed == pages | {"decisions/README.md"}
