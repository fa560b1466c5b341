"""The formats: how each is written, and how its file predicts."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from recipes.export.deployed import Deployed
from recipes.parts.lora import learned, scales
from recipes.parts.weight_files import ADAPTER
from recipes.parts.weights import give

Predict = Callable[[Tensor], dict[str, Tensor]]  # from raw inputs
BATCH = {0: Dim("batch", min=1)}  # any number of rows
EXTRA = "pip install -e '.[export]'"


def free_sizes(deployed: Deployed) -> dict[int, Dim]:
    """The dimensions of inputs that may have any size: rows, and of a text its length.

    Raises:
        ValueError: of a recurrent network, whose steps torch writes one by one
    """
    if deployed.vocabulary is None:
        return BATCH
    is_recurrent = any(isinstance(part, nn.RNNBase) for part in deployed.network.modules())
    if is_recurrent or getattr(deployed.network, "carries_state", False):
        kind = type(deployed.network).__name__
        said = "torch writes a recurrent network for texts of one length alone"
        raise ValueError(f"--model.network={kind}: {said}; --format=safetensors has its weights")
    longest = getattr(deployed.network, "context", None)
    longest = longest or getattr(deployed.data, "max_length", None)
    return BATCH | {1: Dim("length", min=1, max=longest)}


def torch_export(deployed: Deployed, example: Tensor, facts: dict[str, Any], path: Path) -> Predict:
    """Writes a program that torch.export.load reads, without this package.

    Args:
        deployed: what to write
        example: of its raw inputs, at least two rows
        facts: that the file says of itself
        path: of the file

    Returns:
        how the file predicts
    """
    shapes = {"inputs": free_sizes(deployed)}
    program = torch.export.export(deployed, (example,), dynamic_shapes=shapes)
    torch.export.save(program, path, extra_files={"facts.json": json.dumps(facts)})
    return torch.export.load(path).module()


def onnx(deployed: Deployed, example: Tensor, facts: dict[str, Any], path: Path) -> Predict:
    """Writes a program for ONNX Runtime; arguments as `torch_export`.

    Raises:
        ValueError: if the extra is not installed
    """
    with torch.no_grad():
        outputs = list(deployed(example))
    program = to_onnx(deployed, example, outputs, free_sizes(deployed))
    program.model.metadata_props.update({k: json.dumps(v) for k, v in facts.items()})
    program.save(path, external_data=False)
    return running(path)


def to_onnx(
    network: nn.Module,
    example: Tensor,
    outputs: list[str],
    sizes: dict[int, Dim],
    table: dict[Callable, Callable] | None = None,
) -> torch.onnx.ONNXProgram:
    """A network as a program for ONNX Runtime.

    Args:
        network: to write
        example: of its inputs, at least two rows
        outputs: names of what it gives
        sizes: dimensions of the inputs that may have any size
        table: how operators are written that torch does not know how to write

    Raises:
        ValueError: if the extra is not installed
    """
    try:
        import onnxruntime  # noqa: F401 - which runs it
        import onnxscript  # noqa: F401 - which torch needs
    except ModuleNotFoundError as error:
        raise ValueError(f"a file for ONNX Runtime needs {error.name}: {EXTRA}") from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses packages of no use here
    names = {"input_names": ["inputs"], "output_names": outputs}
    return torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        verbose=False,
        dynamic_shapes=(sizes,),
        custom_translation_table=table,
        **names,
    )


def running(path: Path) -> Predict:
    """How a file for ONNX Runtime predicts, on as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def predict(inputs: Tensor) -> dict[str, Tensor]:
        found = session.run(outputs, {"inputs": np.asarray(inputs)})
        return dict(zip(outputs, map(torch.from_numpy, found), strict=True))

    return predict


def safetensors(deployed: Deployed, example: Tensor, facts: dict[str, Any], path: Path) -> Predict:
    """Writes the network's weights alone; arguments as `torch_export`.

    Raises:
        ValueError: if safetensors is not installed
    """
    try:
        from safetensors.torch import save_model
    except ModuleNotFoundError as error:
        raise ValueError("--format=safetensors needs: pip install safetensors") from error
    texts = {name: json.dumps(value) for name, value in facts.items()}
    save_model(deployed.network, str(path), metadata=texts)
    with torch.no_grad():  # what is read must come from the file
        for value in deployed.network.state_dict().values():
            value.zero_()
    give(deployed.network, str(path), "--format=safetensors")
    return deployed


def adapter(deployed: Deployed, example: Tensor, facts: dict[str, Any], path: Path) -> Predict:
    """Writes what LoRA has trained, adapters and head, alone; arguments as `torch_export`.

    Raises:
        ValueError: if the network has no adapters
    """
    from safetensors.torch import load_file, save_file

    found = learned(deployed.network)
    own = {"scales": scales(deployed.network)}
    texts = {name: json.dumps(value) for name, value in (facts | own).items()} | {"kind": ADAPTER}
    save_file({name: value.clone() for name, value in found.items()}, path, metadata=texts)
    for value in found.values():  # what is read must come from the file
        value.zero_()
    deployed.network.load_state_dict(load_file(path), strict=False)
    return deployed


FORMATS: dict[str, tuple[str, Callable[..., Predict]]] = {
    "onnx": ("model.onnx", onnx),
    "torch_export": ("model.pt2", torch_export),
    "safetensors": ("model.safetensors", safetensors),
    "adapter": ("adapter.safetensors", adapter),
}
