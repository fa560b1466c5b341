"""A linear VAE of the digits beside what it must become: scikit-learn's probabilistic PCA.

python benchmarks/linear_vae.py        a minute on one CPU core

Prints nats an image, mean of all 1,797 that both are fitted to: the ELBO of a trained linear VAE,
exactly, and the log likelihood of probabilistic PCA, which no ELBO exceeds.
"""

import math
import tempfile
import time

import torch
from lightning.pytorch import Trainer, seed_everything
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from callbacks import KeyedNoise, LRDecay
from datamodules import Digits
from datamodules.images import ImageTable
from recipes.vae import VAE
from recipes.vae.bounds import negative_elbo
from recipes.vae.likelihoods import Gaussian
from recipes.vae.networks import MLPDecoder, MLPEncoder

EPOCHS = {5: 300, 10: 400, 20: 1000}  # by units of the code


class AllDigits(Digits):
    """All images to train on."""

    def setup(self, stage: str) -> None:
        super().setup(stage)
        tables = self.tables.values()
        images, labels = (torch.cat([getattr(t, k) for t in tables]) for k in ("images", "labels"))
        self.tables = {"train": ImageTable(images, labels)}


def trained(latent: int) -> VAE:
    """A linear VAE of all digits."""
    seed_everything(0)
    networks = MLPEncoder(64, 2 * latent, []), MLPDecoder(latent, [1, 8, 8], [])

    def adam(params: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(params, lr=0.1, fused=True)

    module = VAE(*networks, Gaussian(std=0.3), latent, samples=8, optimizer=adam)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_epochs=EPOCHS[latent],
            default_root_dir=folder,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[KeyedNoise(0), LRDecay()],
        )
        trainer.fit(module, datamodule=AllDigits(batch_size=256))
    return module


@torch.no_grad()
def elbo(module: VAE, x: torch.Tensor) -> float:
    """Mean ELBO of rows x (n, 64), nats: of a linear decoder the mean over codes is known."""
    mean, log_variance = module.encode(x)
    decode, variance = module.decoder.head, (2 * module.likelihood.log_scale).exp()
    errors = (x - decode(mean)).square().sum(1)
    errors += (log_variance.exp() * decode.weight.square().sum(0)).sum(1)
    log_p = -0.5 * (errors / variance + x.shape[1] * (2 * math.pi * variance).log())
    return -negative_elbo(log_p.unsqueeze(0), mean, log_variance).mean().item()


def main() -> None:
    """Prints a row for each size of the code."""
    torch.set_num_threads(1)
    rows = load_digits().data / 16
    print("| units | linear VAE, ELBO | probabilistic PCA | apart | s |\n|---|---|---|---|---|")
    for latent in EPOCHS:
        begin = time.process_time()
        found = elbo(trained(latent), torch.from_numpy(rows).float())
        seconds = time.process_time() - begin
        score = PCA(latent, svd_solver="full").fit(rows).score(rows)
        cells = f"{found:.3f}", f"{score:.3f}", f"{score - found:.3f}", f"{seconds:.0f}"
        print(f"| {latent} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
