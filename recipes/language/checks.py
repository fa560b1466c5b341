"""What a language model is refused for, before its first step."""

import torch
from lightning.pytorch import LightningDataModule
from torch import nn
from torch.distributed.tensor import DTensor

from datamodules.reading.vocabulary import Tokens
from datamodules.text_data import TextData
from recipes.parts.fitting import named, outputs


def vocabulary_of(data: LightningDataModule | None) -> Tokens:
    """The tokens of a text.

    Args:
        data: set up

    Raises:
        ValueError: if they are no running text
    """
    if not isinstance(data, TextData):  # Sentences has a vocabulary, too
        kind = type(data).__name__
        raise ValueError(
            f"--data={kind} is no running text: such as --data=Text --data.path=mine.txt"
        )
    return data.vocabulary


def check_same(found: Tokens | None, trained: Tokens | None) -> None:
    """Refuses a text of other tokens than a network was trained on.

    Args:
        found: of the data, if there are any
        trained: of the checkpoint, if there is one

    Raises:
        ValueError: if both are known and differ
    """
    if None not in (found, trained) and found != trained:
        said = f"--data.tokens={found.kind}" if found.kind != trained.kind else "--data"
        raise ValueError(f"{said}: the network was trained on other tokens")


def check_network(network: nn.Module, vocabulary: Tokens, device: torch.device) -> None:
    """Refuses a network that does not take a text's tokens, or gives other logits.

    Args:
        network: that is trained or evaluated
        vocabulary: of the data
        device: that the network lies on

    Raises:
        ValueError: naming the option
    """
    if any(weight.is_meta or isinstance(weight, DTensor) for weight in network.parameters()):
        return  # the first process has the weights, or an earlier stage has sharded them
    count = len(vocabulary)
    tokens = torch.tensor([[count - 1]], device=device)
    found = outputs(network, "--model.network", f"token {count - 1}", tokens)
    size = (found[0] if isinstance(found, tuple) else found).shape[-1]
    if size != count:
        given = named(network, "--model.network", "vocabulary", size) or f"{size} logits"
        raise ValueError(f"{given}, but the text has {count} different tokens")
