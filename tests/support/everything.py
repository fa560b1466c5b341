"""What processes of tests have imported before they are forked."""

import torch

import fits  # noqa: F401
import recipes.classify
import recipes.distill
import recipes.gan
import recipes.language
import recipes.regress
import recipes.running.cli
import recipes.study  # noqa: F401

torch.set_num_threads(1)
