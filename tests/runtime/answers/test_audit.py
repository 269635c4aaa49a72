import csv
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path


def test_each_record_can_say_where_it_comes_from(command, mixed, classifier):
    ended = command("infer", mixed, "--format", "jsonl", "--audit")
    records = [json.loads(line) for line in ended.out.splitlines()]
    for record in records:
        audit = record["audit"]
        data = Path(record["path"]).read_bytes()
        assert audit["input_sha256"] == hashlib.sha256(data).hexdigest()
        assert audit["model_sha256"] == hashlib.sha256(classifier.path.read_bytes()).hexdigest()
        assert audit["provider"] == "CPUExecutionProvider"
        assert set(audit["versions"]) == {"edge-mri", "numpy", "onnxruntime", "opencv"}
        age = datetime.now(UTC) - datetime.fromisoformat(audit["time"])
        assert 0 <= age.total_seconds() < 60
    spec = json.dumps(classifier.contract.preprocess.to_dict(), sort_keys=True)
    spec_sha256 = hashlib.sha256(spec.replace(" ", "").encode()).hexdigest()
    assert {record["audit"]["preprocess_sha256"] for record in records} == {spec_sha256}
    rows = list(
        csv.DictReader(command("infer", mixed, "--format", "csv", "--audit").out.splitlines())
    )
    assert [row["input_sha256"] for row in rows] == [r["audit"]["input_sha256"] for r in records]


def test_a_file_that_cannot_be_read_has_no_hash(command, tmp_path):
    (tmp_path / "gone.png").symlink_to("nowhere")
    (line,) = command("infer", tmp_path, "--format", "jsonl", "--audit").out.splitlines()
    record = json.loads(line)
    assert record["audit"]["input_sha256"] is None
    assert record["audit"]["time"]
