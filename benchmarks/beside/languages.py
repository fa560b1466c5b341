"""Language models beside plain loops of the same mathematics."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from beside.comparison import Comparison, Goal
from beside.fits import WARM, Fit, apart, batches, fit, loop, made, part, weights
from datamodules import TextData, TinyShakespeare
from recipes.language import Language
from recipes.parts.recurrent import LSTMLanguageModel
from recipes.parts.transformer import TransformerLanguageModel

STEPS, PROOF, CLIP = 100, 10, 1.0
SETTINGS = {"lr": 1e-3, "betas": [0.9, 0.99], "weight_decay": 0.1, "fused": True}  # nanoGPT's


def lstm() -> tuple[nn.Module, TextData]:
    """The default config's."""
    return LSTMLanguageModel(65, 1, 128, initial=0.08), TinyShakespeare(length=32, batch_size=32)


def transformer() -> tuple[nn.Module, TextData]:
    """That of shakespeare_nanogpt_cpu."""
    data = TinyShakespeare(length=64, batch_size=12, order="blocks")
    return TransformerLanguageModel(65, 64, 4, 4, 128), data


NETWORKS: dict[str, tuple[Callable[[], tuple[nn.Module, TextData]], dict, dict]] = {
    "LSTM of 128": (
        lstm,
        made("LSTMLanguageModel", vocabulary=65, layers=1, width=128, initial=0.08),
        made("TinyShakespeare", length=32, batch_size=32),
    ),
    "Transformer of 4 x 128": (
        transformer,
        made("TransformerLanguageModel", vocabulary=65, context=64, layers=4, heads=4, width=128),
        made("TinyShakespeare", length=64, batch_size=12, order="blocks"),
    ),
}


def ours(name: str, steps: int = STEPS, first: int = WARM) -> Fit:
    """The recipe, by the command line."""
    _, network, data = NETWORKS[name]
    model = {"network": network, "optimizer": made("AdamW", **SETTINGS)}
    clip = f"--trainer.gradient_clip_val={CLIP}"
    return fit(Language, {"model": model, "data": data}, steps, first, [clip])


def plain(network: nn.Module) -> Callable[..., None]:
    """A step of a loop: AdamW, clipping, and the state that an LSTM carries on."""
    weights = list(network.parameters())
    matrices, vectors = ([w for w in weights if (w.ndim > 1) == wide] for wide in (True, False))
    groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    optimizer, carried = torch.optim.AdamW(groups, **SETTINGS), [None]

    def step(inputs: Tensor, targets: Tensor, *_: Tensor) -> None:
        logits, state = network(inputs, carried[0])
        if network.carries_state:
            carried[0] = tuple(tensor.detach() for tensor in state)
        loss = cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(weights, CLIP)
        optimizer.step()

    return step


def source(data: TextData) -> Iterator[tuple[Tensor, ...]]:
    """Batches, epoch after epoch."""
    return batches(data)


def looped(name: str, steps: int = STEPS) -> float:
    """Seconds of the plain loop."""
    network, data = NETWORKS[name][0]()
    return loop(plain(network), source(data), steps)


def proof(name: str) -> float:
    """The largest difference of ours and the plain loop."""
    found = ours(name, PROOF, 0)
    network, data = NETWORKS[name][0]()
    network.load_state_dict(part(found.before, "network"))
    loop(plain(network), source(data), PROOF, 0)
    return apart(weights(network), part(found.after, "network"))


def comparison(name: str) -> Comparison:
    """Sides and goals of a network."""
    return Comparison(
        f"language, {name}, {STEPS} steps",
        {"recipes.language": lambda: ours(name).seconds, "plain loop": lambda: looped(name)},
        [Goal("recipes.language", "plain loop", 1.10)],
        {"plain loop": lambda: proof(name)},
        tolerance=1e-4,
    )
