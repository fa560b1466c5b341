"""What a step of Kim's network costs, part by part: the embedding's gradient, and its Adadelta.

python benchmarks/sentences_profile.py

Processor time of one thread, medians, in random sentences of the lengths and vocabularies of TREC
and MR. Seconds differ between machines; the shares are what is told on the page.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from recipes.parts.sentences import TextCNN

BATCH, ROUNDS = 50, 30
SETS = {"TREC": (10, 8800), "MR": (20, 17900)}  # words of a sentence, vocabulary


def milliseconds(work: Callable[[], object]) -> float:
    """Of processor time, median."""
    work()
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        found.append(1e3 * (time.process_time() - start))
    return statistics.median(found)


def adadelta(network: nn.Module) -> torch.optim.Optimizer:
    """As in recipes/classify/trec.yaml."""
    return torch.optim.Adadelta(network.parameters(), lr=1.0, rho=0.95, eps=1e-6)


def parts(length: int, vocabulary: int) -> dict[str, float]:
    """Milliseconds of each part of a step.

    Args:
        length: words of a sentence
        vocabulary: number of different words
    """
    network = TextCNN(vocabulary, 6)
    tokens, labels = torch.randint(1, vocabulary, (BATCH, length)), torch.randint(0, 6, (BATCH,))

    def differentiate() -> None:
        network.zero_grad()
        F.cross_entropy(network(tokens), labels).backward()

    def embed() -> None:
        network.embedding.zero_grad()
        network.embedding(tokens).sum().backward()

    found = {"forward and backward": milliseconds(differentiate)}
    found["of it the embedding"] = milliseconds(embed)
    differentiate()
    found["Adadelta"] = milliseconds(adadelta(network).step)
    found["of it the embedding's"] = milliseconds(adadelta(network.embedding).step)
    return found


def main() -> None:
    """Prints the table."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name, (length, vocabulary) in SETS.items():
        found = parts(length, vocabulary)
        whole = found["forward and backward"] + found["Adadelta"]
        for part, value in found.items():
            print(f"| {name} | {part} | {value:.1f} ms | {100 * value / whole:.0f} % |")


if __name__ == "__main__":
    main()
