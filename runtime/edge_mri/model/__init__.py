"""The ONNX file: what it says about itself, whether it is whole, and what runs it.

    contract       what a file carries of classes and thresholds (contract_schema: as JSON Schema)
    rejection      when a model does not answer
    volume_rule    when the slices of a volume say together what it is
    onnx_file      a file looked at before onnxruntime does (protobuf, onnx_weights)
    content_hash   whether its bytes are those of the export (signature: and who vouches for them)
    session        an onnxruntime session (providers: on what; session_cache: kept between starts)
    graph          a file opened: contract and session together

What its answers mean is `edge_mri.answers`.
"""
