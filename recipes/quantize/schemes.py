"""The schemes: how a network for ONNX Runtime gets smaller numbers."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

BLOCK = 32  # weights of 4 bits that share a step
ROUNDED = {"MatMulInteger", "MatMulNBits"}  # what makes up a quantized linear layer
LINEAR = ["MatMul", "Gemm"]


def dynamic_int8(source: Path, target: Path) -> None:
    """Linear layers of integers of 8 bits; the ranges of their inputs are each batch's.

    Args:
        source: file of the network
        target: file that is written
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # With all 8 bits, processors without VNNI cut sums of two products off.
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=LINEAR,
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


def int4_weight(source: Path, target: Path) -> None:
    """Weights of linear layers of 4 bits, with a step for each block; arguments as above."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = ONNXModel(onnx.load(source))
    model.replace_gemm_with_matmul()
    quantizer = MatMulNBitsQuantizer(model.model, block_size=BLOCK, is_symmetric=True)
    quantizer.process()
    onnx.save(quantizer.model.model, target)


def bf16(source: Path, target: Path) -> None:
    """Weights of 16 bits, computed with in float32; arguments as above.

    Products of bfloat16 itself are slow on processors without instructions for them.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    graph, casts = model.graph, []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or len(weight.dims) < 2:
            continue
        values = torch.from_numpy(numpy_helper.to_array(weight).copy()).bfloat16()
        name, dims = weight.name, list(weight.dims)
        raw = values.view(torch.int16).numpy().tobytes()
        short = helper.make_tensor(f"{name}.bf16", TensorProto.BFLOAT16, dims, raw, raw=True)
        weight.CopyFrom(short)
        casts.append(helper.make_node("Cast", [short.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    onnx.save(model, target)


REWRITES: dict[str, Callable[[Path, Path], None]] = {
    "dynamic_int8": dynamic_int8,
    "int4_weight": int4_weight,
    "bf16": bf16,
}


def rewrite(scheme: str, source: Path, target: Path) -> None:
    """Writes a file with smaller numbers.

    Raises:
        ValueError: if there is nothing in it to be made smaller
    """
    import onnx

    logging.disable(logging.WARNING)  # they tell of each node, and advise what changes nothing
    try:
        REWRITES[scheme](source, target)
    finally:
        logging.disable(logging.NOTSET)
    kinds = {node.op_type for node in onnx.load(target).graph.node}
    if scheme != "bf16" and not kinds & ROUNDED:
        raise ValueError(f"--scheme={scheme}: the network has no linear layer; see static_int8")
