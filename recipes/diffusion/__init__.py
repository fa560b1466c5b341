"""Diffusion: a network learns to remove noise, and draws examples out of nothing else.

Ho, Jain & Abbeel, "Denoising Diffusion Probabilistic Models" (2020),
https://arxiv.org/abs/2006.11239; DDIM: Song, Meng & Ermon (2021), https://arxiv.org/abs/2010.02502;
guidance: Ho & Salimans (2022), https://arxiv.org/abs/2207.12598; flow matching: Lipman et al.
(2023), https://arxiv.org/abs/2210.02747; Liu, Gong & Liu (2023), https://arxiv.org/abs/2209.03003

    x_t = signal(t) x_0 + scale(t) e,   e standard normal
    loss = mean (network(x_t, t) - target)^2,   target: e, x_0, v, or the flow's velocity e - x_0

Run:      python -m recipes.diffusion fit --config recipes/diffusion/digits.yaml
Logs:     train/loss, val/loss (as above, a mean over values, t and e); the evaluation's val/... of
          samples, with EMA of the averaged network's
Differs:  t and e belong to (seed, epoch, row): a resumed run and any number of processes draw the
          same; validation draws the same in each epoch; time runs from data (0) to noise (1) in the
          flow too
"""

from callbacks.samples import Samples
from recipes.diffusion import networks, samplers  # noqa: F401 - known to the parser by their names
from recipes.diffusion.module import Diffusion
from recipes.diffusion.pictures import Trajectories

__all__ = ["Diffusion", "Samples", "Trajectories"]
