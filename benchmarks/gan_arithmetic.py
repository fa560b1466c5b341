"""What a GAN's step multiplies by each update rule: how much less arithmetic ours has.

python benchmarks/gan_arithmetic.py

Operations of products and convolutions in one step of the recipe, of Lightning's official example
and of PyTorch-GAN's rule, as the speed table times them, by torch's counter: those of two steps
less those of one. Three minutes on one core.
"""

from collections.abc import Callable
from dataclasses import replace

from torch.utils.flop_counter import FlopCounterMode

from beside.fits import WARM
from beside.gans import CASES, Case, example, looped, ours, pytorch_gan

RULES: dict[str, Callable[[Case], object]] = {
    "recipes.gan": ours,
    "Lightning's example": example,
    "PyTorch-GAN's rule": lambda case: looped(case, pytorch_gan(*case.networks(), case.latent)),
}


def operations(rule: Callable[[Case], object], case: Case) -> int:
    """Of one step: additions and multiplications of products and convolutions."""
    found = []
    for steps in (1, 2):
        with FlopCounterMode(display=False) as counter:
            rule(replace(case, steps=steps))
        found.append(counter.get_total_flops())
    return found[1] - found[0]


def main() -> None:
    """Prints millions of operations a step, and ours over the others'."""
    print(f"millions of operations a step, after {WARM} steps")
    over = [f"ours / {name}" for name in list(RULES)[1:]]
    print(f"| | {' | '.join([*RULES, *over])} |")
    print("|---" * (len(RULES) + len(over) + 1) + "|")
    for name, case in CASES.items():
        first, *others = (operations(rule, case) for rule in RULES.values())
        millions = [f"{count / 1e6:,.0f}" for count in (first, *others)]
        ratios = [f"{first / other:.3f}" for other in others]
        print(f"| {name} | {' | '.join(millions + ratios)} |")


if __name__ == "__main__":
    main()
