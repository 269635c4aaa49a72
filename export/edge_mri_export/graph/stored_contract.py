"""A contract put into a model that is to be saved, with the hash of all that is in the model."""

import onnx

from edge_mri.model.content_hash import HASH_KEY, content_sha256
from edge_mri.model.contract import Contract


def store_contract(model: onnx.ModelProto, contract: Contract) -> None:
    """Replace a model's `metadata_props` by a contract and the hash of all that is in the model.

    Nothing in the model may be changed afterwards.
    """
    metadata = contract.to_metadata()
    onnx.helper.set_model_props(model, metadata)
    stated = {HASH_KEY: content_sha256(model.SerializeToString())}
    onnx.helper.set_model_props(model, metadata | stated)
