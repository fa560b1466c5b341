"""What tests that start processes share."""

import os
from pathlib import Path

import torch

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parents[1]

# A game on the digits that can be played by every strategy.
GAME = """
model:
  generator:
    class_path: MLPGenerator
    init_args: {latent: 16, widths: [12, 8], shape: [1, 8, 8], batch_norm: true}
  discriminator:
    class_path: MLPDiscriminator
    init_args: {inputs: 64, widths: [9, 9]}
  latent: 16
  loss: hinge
  penalty_method: finite_difference
  penalties: [{class_path: R1, init_args: {weight: 2.0}}]
  generator_optimizer: {class_path: Adam, init_args: {lr: 0.01, eps: 0.0001}}
  discriminator_optimizer: {class_path: Adam, init_args: {lr: 0.01, eps: 0.0001}}
data: {class_path: Digits, init_args: {batch_size: 32}}
"""


def environment(**variables):
    """Of processes that import this project and what is in this folder."""
    paths = os.pathsep.join(map(str, (ROOT, SUPPORT)))
    # What Lightning leaves there of earlier tests would be this run's ranks and port.
    left = ("MASTER_", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "PL_GLOBAL_SEED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left)}
    own = {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    own |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}  # also before a test's own setting
    return {**kept, **own, **variables}


def weights(folder):
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return {name: value.double() for name, value in saved["state_dict"].items()}


def difference(one, two):
    """The largest between two runs' weights."""
    assert one.keys() == two.keys()
    return max((one[name] - two[name]).abs().max().item() for name in one)
