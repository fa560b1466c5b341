"""A penalty's time and its gradient's error, exact and by finite differences.

python benchmarks/penalty_speed.py [--rounds 7]

R1 and R2 of three discriminators on one thread, in turn, by the seconds that this process has a
core, medians of the rounds; the error is of the gradient of the discriminator's weights.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from recipes.gan.gradients import Method
from recipes.gan.networks import DCGANDiscriminator, MLPDiscriminator
from recipes.gan.penalties import R1, R2, total


def penalties(rounds: int) -> None:
    """Prints a row for each discriminator."""
    print("| R1 + R2 | exact, ms | differences, ms | ratio | relative error of the gradient |")
    print("|---|---|---|---|---|")
    images, points = torch.randn(2, 64, 1, 28, 28), torch.randn(2, 256, 2)
    smooth = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.SiLU(), nn.Linear(256, 1))
    for name, critic, (real, fake) in (
        ("DCGAN, leaky ReLU", DCGANDiscriminator(batch_norm=False), images),
        ("MLP 2x64, leaky ReLU, points", MLPDiscriminator(2, [64, 64]), points),
        ("MLP 784-256-1, SiLU", smooth, images),
    ):
        times: dict[Method, list[float]] = {"exact": [], "finite_difference": []}
        for _ in range(rounds):
            for method, found in times.items():
                found.append(penalty_seconds(critic, real, fake, method))
        exact, differences = (1000 * statistics.median(found) for found in times.values())
        one, other = (penalty_gradient(critic, real, fake, method) for method in times)
        error = ((one - other).norm() / one.norm()).item()
        ratio = differences / exact
        print(
            f"| {name} | {exact:.2f} | {differences:.2f} | {ratio:.2f} | {error:.1e} |", flush=True
        )


def penalty_gradient(critic: nn.Module, real: Tensor, fake: Tensor, method: Method) -> Tensor:
    """Of the discriminator's weights, flat."""
    loss = total(critic, [R1(1.0), R2(1.0)], real, fake, method)
    weights = list(critic.parameters())
    found = torch.autograd.grad(loss, weights, materialize_grads=True, allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in found])


def penalty_seconds(critic: nn.Module, real: Tensor, fake: Tensor, method: Method) -> float:
    """Of a penalty with its gradient."""
    repeats = 5
    start = time.process_time()
    for _ in range(repeats):
        penalty_gradient(critic, real, fake, method)
    return (time.process_time() - start) / repeats


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    torch.set_num_threads(1)
    penalties(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
