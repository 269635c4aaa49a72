"""Who may send, and where reports go, as options say it."""

from pathlib import Path

import pytest

from edge_mri.errors import OptionError
from edge_mri.node.config import NodeConfig
from edge_mri.node.peers import Destination, Peer, Tls


@pytest.mark.parametrize(
    ("text", "title", "address", "expected"),
    [
        ("SCANNER", "SCANNER", "192.0.2.7", True),
        ("SCANNER", "scanner", "192.0.2.7", False),
        ("SCANNER@192.0.2.7", "SCANNER", "192.0.2.7", True),
        ("SCANNER@192.0.2.7", "SCANNER", "192.0.2.8", False),
        ("SCANNER@192.0.2.7", "SCANNER", "::ffff:192.0.2.7", True),
        ("SCANNER@192.0.2.0/24", "SCANNER", "192.0.2.8", True),
        ("SCANNER@192.0.2.9/24", "SCANNER", "192.0.3.8", False),
        ("SCANNER@2001:db8::/32", "SCANNER", "2001:db8::1", True),
        ("SCANNER@2001:db8::/32", "SCANNER", "192.0.2.7", False),
        ("SCANNER@fe80::/16", "SCANNER", "fe80::1%eth0", True),
        ("*", "ANYTHING", "192.0.2.7", True),
        ("*@192.0.2.7", "ANYTHING", "192.0.2.8", False),
        ("A@B@192.0.2.7", "A@B", "192.0.2.7", True),
    ],
)
def test_a_peer_is_its_title_and_its_address(text, title, address, expected):
    assert Peer.parse(text).is_it(title, address) is expected


@pytest.mark.parametrize(
    "text", ["", " ", "A" * 17, "Ä", "A\\B", "A\nB", "SCANNER@", "SCANNER@host", "@192.0.2.7"]
)
def test_what_is_no_peer_is_refused(text):
    with pytest.raises(OptionError):
        Peer.parse(text)


def test_a_destination_has_a_title_a_host_and_a_port():
    assert Destination.parse("PACS@archive.example:104") == Destination(
        "PACS", "archive.example", 104
    )
    assert Destination.parse("PACS@[2001:db8::1]:104").host == "2001:db8::1"


@pytest.mark.parametrize(
    "text", ["PACS", "PACS@host", "PACS@host:", "PACS@:104", "PACS@host:0", "PACS@h:65536", "@h:1"]
)
def test_what_is_no_destination_is_refused(text):
    with pytest.raises(OptionError):
        Destination.parse(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "scanner-net"])
def test_other_machines_are_named(host):
    with pytest.raises(OptionError, match="name who may send"):
        NodeConfig(spool=Path("spool"), host=host)
    assert NodeConfig(spool=Path("spool"), host=host, allow=("A",)).peers == (Peer("A"),)


def test_tls_to_a_destination_needs_both():
    with pytest.raises(OptionError, match="--destination-tls needs"):
        NodeConfig(spool=Path("spool"), destination="A@b:1", destination_tls=True)


def test_files_that_are_no_certificates_are_named(tmp_path):
    (tmp_path / "key").write_text("none")
    for file in (tmp_path / "missing", tmp_path / "key"):
        with pytest.raises(OptionError, match=f"^{file} or its key cannot be used for TLS: "):
            Tls(file, tmp_path / "key").of_server()
