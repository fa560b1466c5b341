"""Inputs whose numbers and categories are embedded, and what that needs of the data."""

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn

from recipes.parts.embeddings import EmbeddingCallable

ROWS = 100_000  # of which quantiles are taken at most


class Embedded(nn.Module):
    """Inputs whose numbers and categories are embedded: numbers first, one-hot blocks last.

    A linear map of a one-hot block without a bias is a table of embeddings. What lies between
    numbers and blocks, or is not to be embedded, stays as it is.

    Args:
        inputs: values of one input
        embedding: makes that of the numbers, whose `outputs` are its values; None: none
        numbers: how many inputs are numbers; None: all but the blocks
        width: values that each category becomes; None: it stays one-hot
        blocks: inputs in each one-hot block

    Raises:
        ValueError: if numbers and blocks are more than the inputs, or there are no blocks for width
    """

    def __init__(
        self,
        inputs: int,
        embedding: EmbeddingCallable | None,
        numbers: int | None = None,
        width: int | None = None,
        blocks: list[int] | None = None,
    ) -> None:
        super().__init__()
        if width is not None and blocks is None:
            raise ValueError(f"category_width={width} needs blocks, which --data=Tabular tells")
        blocks = list(blocks or ()) if width is not None else []
        numbers = inputs - sum(blocks) if numbers is None else numbers
        if numbers < 0 or numbers + sum(blocks) > inputs:
            raise ValueError(f"numbers={numbers}, blocks={blocks}: more than inputs={inputs}")
        self.sizes = [numbers, inputs - numbers - sum(blocks), *blocks]
        self.numbers = embedding(numbers) if embedding is not None and numbers else nn.Identity()
        tables = (nn.Linear(size, width, bias=False) for size in blocks)
        self.categories = nn.ModuleList(tables)
        self.outputs = getattr(self.numbers, "outputs", numbers) + self.sizes[1]
        self.outputs += len(blocks) * (width or 0)

    def forward(self, inputs: Tensor) -> Tensor:
        """From (batch, ...), which is flattened, to (batch, outputs)."""
        numbers, others, *blocks = inputs.flatten(1).split(self.sizes, 1)
        tables = (table(block) for table, block in zip(self.categories, blocks, strict=True))
        return torch.cat([self.numbers(numbers), others, *tables], 1)


def needs_inputs(network: nn.Module) -> bool:
    """Whether a part of a network is made from the training inputs."""
    return any(hasattr(part, "see") for part in network.modules())


def show_inputs(network: nn.Module, data: LightningDataModule | None, option: str) -> None:
    """Shows the training inputs to those parts of a network that are made from them.

    Of many rows, evenly spaced ones. To be called at the start of a fresh fit: a resumed one has
    what the checkpoint holds.

    Args:
        network: a part of it may have `see`
        data: set up; has `training_inputs`, (rows, features)
        option: that the network was given by

    Raises:
        ValueError: if such a part is there, and the data have no table of training inputs
    """
    if not needs_inputs(network):
        return
    if not hasattr(data, "training_inputs"):
        raise ValueError(
            f"{option}.embedding: quantiles of the training rows need a table, such as "
            "--data=Tabular"
        )
    inputs = data.training_inputs()
    inputs = inputs[:: -(-len(inputs) // ROWS)].double()
    for part in network.modules():
        if hasattr(part, "see"):
            part.see(inputs[:, : part.features])
