"""Whether channels last makes a training step of a small convolutional network faster on a CPU.

python benchmarks/channels_last.py [--rounds 40]

Bare steps of the networks of the distillation on 32x32, on one thread, in turns: weights and images
as they are; weights with their channels last; both. Milliseconds of a core, medians, and their
ratios to the first. Half a minute.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from recipes.parts.networks import ConvNet

NETWORKS = {"student": [16, 32], "teacher": [32, 64]}  # channels, as of beside/distillation.py
LAYOUTS = {"contiguous": (False, False), "weights": (True, False), "both": (True, True)}
BATCH, WARM = 128, 3


def step_of(channels: list[int], weights_last: bool, images_last: bool) -> Callable[[], None]:
    """A training step.

    Args:
        channels: of the network
        weights_last: whether its convolutions' weights have their channels last
        images_last: whether the images have
    """
    torch.manual_seed(0)
    network = ConvNet(channels, 10, 3)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
    if weights_last:
        network = network.to(memory_format=torch.channels_last)
    if images_last:
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def main() -> None:
    """Prints a row for each network."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| ms of a step | {' | '.join(LAYOUTS)} |\n|---{'|---' * len(LAYOUTS)}|")
    for name, channels in NETWORKS.items():
        steps = {layout: step_of(channels, *how) for layout, how in LAYOUTS.items()}
        taken: dict[str, list[float]] = {layout: [] for layout in LAYOUTS}
        for number in range(WARM + given.rounds):
            for layout, step in steps.items():
                start = time.thread_time()
                step()
                if number >= WARM:
                    taken[layout].append(1e3 * (time.thread_time() - start))
        medians = {layout: statistics.median(each) for layout, each in taken.items()}
        first = medians["contiguous"]
        cells = [f"{median:.1f} ({median / first:.2f})" for median in medians.values()]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
