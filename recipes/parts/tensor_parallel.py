"""Tensor parallelism: products of matrices that several processes share out.

Shoeybi et al. 2019, section 3, https://arxiv.org/abs/1909.08053.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel
from torch.distributed.tensor.parallel.style import ParallelStyle


def plan_of(network: nn.Module, processes: int, option: str) -> dict[str, ParallelStyle]:
    """A network's own plan for tensor parallelism: the style of each layer, by its name.

    Raises:
        ValueError: if it has none, or a layer cannot be split evenly
    """
    if not hasattr(network, "tensor_parallel_plan"):
        kind = type(network).__name__
        have = "MLP and TransformerLanguageModel have one, fsdp needs none"
        raise ValueError(f"{option}: {kind} has no tensor_parallel_plan; {have}")
    heads = getattr(network, "heads", processes)
    if heads % processes:
        raise ValueError(f"{option}: heads={heads} do not divide by {processes} processes")
    plan = network.tensor_parallel_plan()
    for name, style in plan.items():
        layer = network.get_submodule(name)
        size = layer.out_features if isinstance(style, ColwiseParallel) else layer.in_features
        if size % processes:
            raise ValueError(f"{option}: {size} units do not divide by {processes} processes")
    return plan


def alternating(layers: list[str]) -> dict[str, ParallelStyle]:
    """A plan for linear layers in a row: by columns and by rows in turn, one sum for each pair.

    Shoeybi et al. 2019, figure 3a. What is between the two is computed of each part by itself, so
    it has to act on each unit alone; of dropout, all parts have the same mask.

    Args:
        layers: names, in order; the last of an odd number is split by rows
    """
    plan: dict[str, ParallelStyle] = {}
    for first, second in list(pairwise(layers))[::2]:
        plan |= {first: ColwiseParallel(), second: RowwiseParallel()}
    if len(layers) % 2:
        plan[layers[-1]] = RowwiseParallel(input_layouts=Replicate())
    return plan


def keep_others_whole(network: nn.Module, mesh: DeviceMesh) -> None:
    """Gives each process the layers whole that no plan has split.

    Args:
        network: the same on all processes
        mesh: of the processes
    """
    known: dict[int, nn.Parameter] = {}  # tied weights stay one tensor
    for layer in network.modules():
        if any(not isinstance(weight, DTensor) for weight in layer.parameters(recurse=False)):
            keep_whole(layer, mesh, known)


def keep_whole(layer: nn.Module, mesh: DeviceMesh, known: dict[int, nn.Parameter]) -> None:
    """Makes a layer's weights DTensors without splitting them, as torch mixes no two kinds.

    Optimizers and norms of gradients take all weights of a network at once.

    Args:
        layer: that maps one tensor to one tensor
        mesh: of the processes
        known: weights that other layers have too, by their identity; filled in
    """

    def enter(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return tuple(DTensor.from_local(part, mesh, [Replicate()]) for part in inputs)

    def leave(layer: nn.Module, inputs: tuple[Tensor], output: DTensor) -> Tensor:
        return output.to_local()

    for name, weight in layer.named_parameters(recurse=False):
        if id(weight) not in known:
            values = distribute_tensor(weight.detach(), mesh, [Replicate()])
            known[id(weight)] = nn.Parameter(values, requires_grad=weight.requires_grad)
        setattr(layer, name, known[id(weight)])
    layer.register_forward_pre_hook(enter)
    layer.register_forward_hook(leave)
