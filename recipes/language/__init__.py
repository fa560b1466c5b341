"""Language models: a recurrent network or a Transformer predicts each next token of a text.

Zaremba, Sutskever & Vinyals, "Recurrent Neural Network Regularization" (2014),
https://arxiv.org/abs/1409.2329; Radford et al., "Language Models are Unsupervised Multitask
Learners" (2019); truncated back-propagation: Williams & Peng (1990)

    loss = -log p(token t | tokens before t),   the mean over tokens, in nats

Run:      python -m recipes.language fit --config recipes/language/shakespeare.yaml
Logs:     train/loss, val/loss (nats per token), val/perplexity, val/bits_per_character where tokens
          give the text back (all but words); test/... likewise
Files:    sample.txt and samples/ in the run's folder, generated.txt by predict
Differs:  the loss is the mean over tokens, where Zaremba et al. sum over the 20 or 35 of a chunk:
          their rate is multiplied by that number, and their limit of the gradient's norm divided
"""

from recipes.language.module import Language
from recipes.language.samples import SampleText
from recipes.parts import recurrent, transformer  # noqa: F401 - known by their short names

__all__ = ["Language", "SampleText"]
