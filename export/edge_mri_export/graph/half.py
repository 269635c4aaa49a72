"""FP16: half the file, for devices whose kernels compute in 16 bits.

onnxruntime's CPU kernels widen most of it again, so that it is smaller there, not faster.
"""

import warnings

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from edge_mri_export.errors import QuantizationError
from edge_mri_train.errors import first_line


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a float model with weights and values in 16 bits; inputs and outputs stay as they are.

    Args:
        model: `pixels (N, 1, S, S) uint8` to float outputs; left as it is.

    Raises:
        QuantizationError: It cannot be converted.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # weights too small for 16 bits; the guard measures them
            converted: onnx.ModelProto = convert_float_to_float16(
                model, keep_io_types=True, op_block_list=["DequantizeLinear", "LogSoftmax"]
            )
    except Exception as error:  # the converter's errors share no base class
        raise QuantizationError(
            f"onnxruntime cannot write this network in FP16: {first_line(error)}"
        ) from error
    del converted.graph.value_info[:]
    return converted
