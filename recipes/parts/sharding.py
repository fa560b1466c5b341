"""Networks larger than one device: split over processes before any of it is on a device.

FSDP2 (Zhao et al. 2023, https://arxiv.org/abs/2304.11277, as torch's `fully_shard`) splits every
tensor by rows and gathers a layer at a time; tensor parallelism splits the products themselves
(tensor_parallel.py).
"""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import parallelize_module

from recipes.parts.tensor_parallel import keep_others_whole, plan_of

COMES = "_comes_from_rank_zero"  # an attribute of networks that `wrappers.large` made


def distribute(module: LightningModule, **networks: nn.Module | None) -> None:
    """Splits networks over the processes of a ModelParallelStrategy, each by itself.

    To be called in `configure_model`. With any other strategy they stay whole.

    Args:
        module: that they belong to
        networks: by the name of their option

    Raises:
        ValueError: if a network has no plan for tensor parallelism, or layers do not divide
    """
    if module._trainer is None:  # `load_from_checkpoint` calls the hook, too
        return
    device = module.trainer.strategy.root_device
    for name, network in networks.items():
        if network is not None and not is_sharded(network):
            if module.device_mesh is None:
                receive(network, device)
            else:
                shard(network, module.device_mesh, device, f"--model.{name}")


def data_group(module: LightningModule) -> dist.ProcessGroup | None:
    """The processes that share out the batches, as torch's collectives take them; None: all."""
    mesh = module.device_mesh
    return None if mesh is None else mesh["data_parallel"].get_group()


def shard_over_all(network: nn.Module, device: torch.device) -> None:
    """Splits a network over all processes whatever the strategy: one that is only asked.

    Args:
        network: under `ddp`, in no optimizer
        device: of this process
    """
    if dist.is_initialized() and not is_sharded(network):
        sizes, names = (dist.get_world_size(), 1), ("data_parallel", "tensor_parallel")
        shard(network, init_device_mesh(device.type, sizes, mesh_dim_names=names), device, "")


def is_sharded(network: nn.Module) -> bool:
    """Whether a network has been split already."""
    return any(isinstance(parameter, DTensor) for parameter in network.parameters())


def shard(network: nn.Module, mesh: DeviceMesh, device: torch.device, option: str) -> None:
    """Splits a network in place.

    Args:
        network: the same on all processes, or made by `large`
        mesh: data_parallel: processes that share out the batch; tensor_parallel: those that share
            out each product
        device: of this process
        option: of the network, for messages

    Raises:
        ValueError: as `distribute`
    """
    data, tensor = mesh["data_parallel"], mesh["tensor_parallel"]
    if tensor.size() > 1:
        for name, style in plan_of(network, tensor.size(), option).items():
            layer = network.get_submodule(name)
            receive(layer, device, is_large(network))
            parallelize_module(layer, tensor, style)
        receive(network, device)
        keep_others_whole(network, tensor)
    if data.size() > 1 or tensor.size() == 1:
        for unit in units(network):
            receive(unit, device, is_large(network))
            # Explicitly, as the root's weights would otherwise stay gathered after its forward
            # pass, and a second pass, or a penalty's, would not find them where it left them.
            fully_shard(unit, mesh=data, reshard_after_forward=True)
    receive(network, device)


def units(network: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at a time: items of the outermost lists of layers, then the network."""

    def items(module: nn.Module) -> Iterator[nn.Module]:
        is_list = isinstance(module, (nn.Sequential, nn.ModuleList))
        for child in module.children():
            if is_list and not isinstance(child, (nn.Sequential, nn.ModuleList)):
                if any(True for _ in child.parameters()):
                    yield child
            else:
                yield from items(child)

    yield from (item for item in items(network) if item is not network)
    yield network


def is_large(network: nn.Module) -> bool:
    """Whether `large` made it, and it has not been sent yet."""
    return getattr(network, COMES, False)


def receive(network: nn.Module, device: torch.device, comes: bool | None = None) -> None:
    """Gives all processes the tensors of a network that `large` made, from the first process.

    Args:
        network: or a layer of it; what is sharded stays as it is
        device: of this process
        comes: whether it has to be sent; by default if `large` made it
    """
    if not (is_large(network) if comes is None else comes):
        return
    known: dict[int, Tensor] = {}  # a tensor may have two names
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is None or isinstance(tensor, DTensor):
                    continue
                if id(tensor) not in known:
                    known[id(tensor)] = sent(tensor, device)
                tensors[name] = known[id(tensor)]
    if comes is None:
        delattr(network, COMES)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The first process's values of a tensor, on this process's device."""
    values = torch.empty_like(tensor, device=device) if tensor.is_meta else tensor.to(device)
    if dist.is_initialized():
        dist.broadcast(values.detach(), 0)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(values.detach(), requires_grad=tensor.requires_grad)
    return values


class ShardedOptimizers(Callback):
    """Refuses an optimizer whose fused step torch does not have for split weights.

    The command line puts this in place.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for optimizer in trainer.optimizers:
            fused = any(group.get("fused") for group in optimizer.param_groups)
            weights = (weight for group in optimizer.param_groups for weight in group["params"])
            if fused and not isinstance(optimizer, torch.optim.Adam):  # AdamW is one
                if any(isinstance(weight, DTensor) for weight in weights):
                    kind = type(optimizer).__name__
                    raise ValueError(f"{kind} of sharded weights needs fused=false")
