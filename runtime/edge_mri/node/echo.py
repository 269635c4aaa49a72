"""Does a node answer? Asked without the modules that judge, as a health check does all day."""

from typing import Any

from pynetdicom import AE
from pynetdicom.sop_class import Verification

from edge_mri.node.config import NodeConfig
from edge_mri.process.quiet import keep_pydicom_quiet


def echo(config: NodeConfig) -> bool:
    """Say whether the node that a configuration means answers to C-ECHO, as a health check."""
    keep_pydicom_quiet("pynetdicom")
    entity: Any = AE(ae_title=config.ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = 5
    entity.add_requested_context(Verification)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    tls = None
    if config.tls is not None:
        context = config.tls.of_client()
        context.check_hostname = False  # its own certificate names it, not the loopback
        tls = (context, host)
    link = entity.associate(host, config.port, ae_title=config.ae_title, tls_args=tls)
    if not link.is_established:
        return False
    status = link.send_c_echo()
    link.release()
    return bool(status.get("Status") == 0)
