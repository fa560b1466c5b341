"""Autoencoders: plain, denoising, variational (VAE), beta-VAE and importance weighted (IWAE).

Kingma & Welling, "Auto-Encoding Variational Bayes" (2014), https://arxiv.org/abs/1312.6114; Burda,
Grosse & Salakhutdinov, "Importance Weighted Autoencoders" (2016), https://arxiv.org/abs/1509.00519;
Higgins et al., "beta-VAE" (2017), https://openreview.net/forum?id=Sy2fzU9gl; Vincent et al.,
"Stacked Denoising Autoencoders" (2010), https://www.jmlr.org/papers/v11/vincent10a.html

    vae:          loss = -E_q[log p(x | z)] + beta KL(q(z | x) || p(z))
    iwae:         loss = -log (1/k) sum_i p(x, z_i) / q(z_i | x)
    autoencoder:  loss = -log p(x | z), z = encoder(x)

Run:      python -m recipes.vae fit --config recipes/vae/digits.yaml
Logs:     train/loss, val/loss (as above, nats an example), train/reconstruction (-log p(x | z)),
          train/kl (without beta); val/... and test/... likewise; val/active_units (units of the
          code that depend on x: 0 is posterior collapse); test/nll (-log p(x) by nll_samples
          importance samples); with anomalies val/auroc_loss, val/auroc_reconstruction
Differs:  noise belongs to (seed, epoch, row): a resumed run and any number of processes draw the
          same; validation draws the same in each epoch
"""

from recipes.vae import networks  # noqa: F401 - known to the parser by their short names
from recipes.vae.module import VAE
from recipes.vae.pictures import LatentPictures

__all__ = ["VAE", "LatentPictures"]
