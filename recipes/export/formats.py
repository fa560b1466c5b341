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
from recipes.parts.lora import learned
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
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - which torch needs
    except ModuleNotFoundError as error:
        raise ValueError(f"--format=onnx needs {error.name}: {EXTRA}") from error
    shapes = {"inputs": free_sizes(deployed)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses packages of no use here
    with torch.no_grad():
        outputs = list(deployed(example))
    names = {"input_names": ["inputs"], "output_names": outputs}
    program = torch.onnx.export(
        deployed, (example,), dynamo=True, verbose=False, dynamic_shapes=shapes, **names
    )
    program.model.metadata_props.update({k: json.dumps(v) for k, v in facts.items()})
    program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

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
    texts = {name: json.dumps(value) for name, value in facts.items()}
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
