"""Language models beside plain PyTorch loops of the same mathematics.

python benchmarks/language_speed.py [--rounds 5]     10 minutes on one CPU core

Each trains the network of a config: `Language` by the Trainer, with all that a run of the command
line has, and a loop of a few lines, in turns. Printed: seconds of a core per 100 steps, medians,
their ratio, and by how much the weights differ in the end.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from lightning.pytorch import Trainer, seed_everything
from torch import nn
from torch.nn.utils import clip_grad_norm_

from callbacks import FiniteLoss, KeyedNoise, LRDecay, Totals
from datamodules import TextData, TinyShakespeare
from recipes.language import Language
from recipes.parts.recurrent import LSTMLanguageModel
from recipes.parts.transformer import TransformerLanguageModel

STEPS, CLIP = 100, 1.0
RATE = 1e-3


def adamw(params: list[dict]) -> torch.optim.Optimizer:
    """The settings of nanoGPT."""
    return torch.optim.AdamW(params, RATE, (0.9, 0.99), weight_decay=0.1, fused=True)


def lstm() -> tuple[nn.Module, TextData]:
    """The default config's."""
    return LSTMLanguageModel(65, 1, 128, initial=0.08), TinyShakespeare(length=32, batch_size=32)


def transformer() -> tuple[nn.Module, TextData]:
    """That of shakespeare_nanogpt_cpu."""
    data = TinyShakespeare(length=64, batch_size=12, order="blocks")
    return TransformerLanguageModel(65, 64, 4, 4, 128), data


def by_trainer(network: nn.Module, data: TextData) -> float:
    """Seconds of a core that a fit takes, from its first step to its last."""
    callbacks = [KeyedNoise(), FiniteLoss(), Totals(), LRDecay(schedule="constant")]
    trainer = Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        gradient_clip_val=CLIP,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )
    module = Language(network, adamw)
    times: list[float] = []
    module.on_train_start = module.on_train_end = lambda: times.append(time.process_time())
    trainer.fit(module, datamodule=data)
    return times[1] - times[0]


def by_loop(network: nn.Module, data: TextData) -> float:
    """The same of a plain loop."""
    data.setup("fit")
    weights = list(network.parameters())
    matrices, vectors = ([w for w in weights if (w.ndim > 1) == wide] for wide in (True, False))
    optimizer = adamw([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}])
    state, carries = None, network.carries_state
    batches = iter(data.train_dataloader())
    start = time.process_time()
    for _ in range(STEPS):
        inputs, targets = next(batches)
        logits, after = network(inputs, state)
        state = tuple(part.detach() for part in after) if carries else None
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(weights, CLIP)
        optimizer.step()
    return time.process_time() - start


def compared(made: Callable[[], tuple[nn.Module, TextData]], rounds: int) -> str:
    """A network's times by both, in a line."""
    times: dict[Callable, list[float]] = {by_trainer: [], by_loop: []}
    for number in range(rounds):
        networks = []
        for train in sorted(times, key=lambda each: (each is by_loop) != number % 2):
            seed_everything(number, verbose=False)
            network, data = made()
            times[train].append(train(network, data))
            networks.append(network)
        pairs = zip(*(network.parameters() for network in networks), strict=True)
        apart = max((one - other).abs().max().item() for one, other in pairs)
    ours, plain = (statistics.median(found) for found in times.values())
    ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    return f"{ours:.2f} s, {plain:.2f} s, ratio {ratio:.3f}; weights differ by {apart:.0e}"


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for made in (lstm, transformer):
        print(f"{made.__name__}: {compared(made, rounds)}", flush=True)


if __name__ == "__main__":
    main()
