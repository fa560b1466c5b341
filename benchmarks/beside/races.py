"""Races of recipes, each beside a plain loop of the same and what people would pick instead."""

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gaussian_nll_loss, kl_div, mse_loss, softplus
from torch.optim import Adam, AdamW

from beside import control_races, gan_races, image_races, study_races
from beside.race import Marks, Plain, Race, Side, accuracy, default, validation
from datamodules import Diabetes, Digits, TinyShakespeare
from datamodules.loading.missing import MISSING
from recipes.parts.networks import MLP, ConvNet
from recipes.parts.recurrent import LSTMLanguageModel
from recipes.vae.likelihoods import DiscretizedLogistic
from recipes.vae.networks import MLPDecoder, MLPEncoder

LOOP = "the same in a plain loop"
PARTS = 10  # of an epoch of text, each with a validation


def plain_classify(seed: int, mark: Marks) -> None:
    """The default of recipes.classify."""
    network, data = ConvNet([32, 64], 10, 1), Digits(seed=seed)
    optimizer = Adam(network.parameters(), 0.01, fused=True)
    plain = Plain(network, optimizer, data, 60, warmup=0.0417)
    plain.train(lambda x, y: cross_entropy(network(x), y), lambda: accuracy(network, data), mark)


def scikit_classify(epochs: int, **given: object) -> Side:
    """MLPClassifier on the pixels of digits, which has no convolutions.

    Args:
        epochs: that it trains
        given: its arguments, others by default
    """

    def side(seed: int, mark: Marks) -> None:
        data = Digits(seed=seed)
        data.setup("fit")
        train, known = (data.tables[part] for part in ("train", "val"))
        inputs, judged = (flat(table.images) for table in (train, known))
        model = MLPClassifier(random_state=seed, **given)
        for _ in range(epochs):
            model.partial_fit(inputs, train.labels.numpy(), classes=np.arange(10))
            mark(model.score(judged, known.labels.numpy()))

    return side


def flat(images: Tensor) -> np.ndarray:
    """Rows of pixels from 0 to 1."""
    return (images.flatten(1).float() / 16).numpy()


def plain_regress(seed: int, mark: Marks) -> None:
    """The default of recipes.regress."""
    network, data = MLP(10, [50], 2, dropout=0.3), Diabetes(seed=seed)
    optimizer = AdamW(network.parameters(), 0.005, weight_decay=1.0, fused=True)
    plain = Plain(network, optimizer, data, 40)
    split = data.splits(0)
    known = split.val.to(torch.float32)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        mean, raw = network(x).unbind(1)
        return gaussian_nll_loss(mean, y, softplus(raw))

    def judge() -> float:
        return mse_loss(network(known.inputs)[:, 0], known.targets).sqrt().item() * split.target_std

    plain.train(loss, judge, mark)


def scikit_regress(seed: int, mark: Marks) -> None:
    """MLPRegressor of the same width, its other settings by default."""
    split = Diabetes(seed=seed).splits(0)
    model = MLPRegressor(hidden_layer_sizes=[50], random_state=seed)
    for _ in range(400):
        model.partial_fit(split.train.inputs.numpy(), split.train.targets.numpy())
        errors = model.predict(split.val.inputs.numpy()) - split.val.targets.numpy()
        mark(float(np.sqrt(np.square(errors).mean())) * split.target_std)


def plain_language(seed: int, mark: Marks) -> None:
    """The default of recipes.language."""
    network = LSTMLanguageModel(65, 1, 128, initial=0.08)
    data = TinyShakespeare(length=32, batch_size=32, seed=seed)
    optimizer = Adam(network.parameters(), 0.007, fused=True)
    plain = Plain(network, optimizer, data, 2, warmup=0.05, limit=1.0, parts=PARTS)
    per_epoch, carried = len(data.train_dataloader()), Carried(network)

    def loss(tokens: Tensor, targets: Tensor, *_: Tensor) -> Tensor:
        return carried.loss(tokens, targets, is_first=carried.count % per_epoch == 0)

    def judge() -> float:
        judged, total, known = Carried(network), 0.0, 0
        for tokens, targets, *_ in validation(data):
            count = int((targets != MISSING).sum())
            total += count * judged.loss(tokens, targets).item()
            known += count
        return total / known

    plain.train(loss, judge, mark)


class Carried:
    """An LSTM whose state goes on from batch to batch."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.state, self.count = network, None, 0

    def loss(self, tokens: Tensor, targets: Tensor, is_first: bool = False) -> Tensor:
        """Mean cross-entropy, nats; `is_first`: without what was before."""
        logits, state = self.network(tokens, None if is_first else self.state)
        self.state, self.count = tuple(each.detach() for each in state), self.count + 1
        return cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=MISSING)


def plain_distill(seed: int, mark: Marks) -> None:
    """The default of recipes.distill, with the control that it trains beside the student."""
    student, control = (ConvNet([4, 8], 10, 1) for _ in range(2))
    control.load_state_dict(student.state_dict())
    networks = nn.ModuleDict({"student": student, "teacher": ConvNet([32, 64], 10, 1)})
    networks["control"], data = control, Digits(labelled=100, seed=seed)
    optimizer = Adam(networks.parameters(), 0.02, fused=True)
    plain = Plain(networks, optimizer, data, 60, warmup=0.0417)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        logits = {name: network(images) for name, network in networks.items()}
        known = labels >= 0
        hard = {
            name: cross_entropy(each[known], labels[known], reduction="sum") / known.sum().clamp(1)
            for name, each in logits.items()
        }
        soft, hot = ((logits[name] / 4.0).log_softmax(1) for name in ("student", "teacher"))
        taught = 16 * kl_div(soft, hot.detach(), reduction="batchmean", log_target=True)
        return 0.9 * taught + 0.1 * hard["student"] + hard["teacher"] + hard["control"]

    def judge() -> float:
        return {name: accuracy(network, data) for name, network in networks.items()}["student"]

    plain.train(loss, judge, mark)


def plain_vae(seed: int, mark: Marks) -> None:
    """The default of recipes.vae."""
    encoder, decoder = MLPEncoder(64, 16, [200, 200]), MLPDecoder(8, [1, 8, 8], [200, 200])
    networks = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    networks["likelihood"], data = DiscretizedLogistic(17), Digits(seed=seed)
    plain = Plain(networks, Adam(networks.parameters(), 0.003, fused=True), data, 60)

    def loss(images: Tensor, _: Tensor) -> Tensor:
        mean, log_variance = encoder(images).chunk(2, 1)
        code = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        probability = networks["likelihood"](images, decoder(code)[None])[0]
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
        return (divergence - probability).mean()

    def judge() -> float:
        known = list(validation(data))
        total = sum(len(images) * loss(images, labels).item() for images, labels in known)
        return total / sum(len(images) for images, _ in known)

    plain.train(loss, judge, mark)


ACCURACY, RMSE, LOSS, HIGH_QUALITY = "val/accuracy", "val/rmse", "val/loss", "val/high_quality"
WITH_GYMNASIUM = "the same with gymnasium, in a plain loop"
RETURN, ZOO = "val/return", "Stable-Baselines3, settings of its zoo"
RACES = (
    Race(
        "classify",
        ACCURACY,
        "share",
        4,
        max,
        {
            "recipes.classify": default("classify", ACCURACY),
            LOOP: plain_classify,
            "scikit-learn's MLPClassifier": scikit_classify(200),
        },
    ),
    Race(
        "regress",
        RMSE,
        "points of progression",
        1,
        min,
        {
            "recipes.regress": default("regress", RMSE),
            LOOP: plain_regress,
            "scikit-learn's MLPRegressor": scikit_regress,
        },
    ),
    Race(
        "study",
        RMSE,
        "points of progression",
        1,
        min,
        {
            "recipes.study": study_races.study,
            "the same in plain loops, one by one": study_races.plain_study,
            "scikit-learn's MLPRegressor, 40 settings": study_races.scikit_study,
        },
    ),
    Race(
        "language",
        LOSS,
        "nats per character",
        3,
        min,
        {
            "recipes.language": default(
                "language", LOSS, f"--trainer.val_check_interval={1 / PARTS}"
            ),
            LOOP: plain_language,
        },
    ),
    Race(
        "gan",
        HIGH_QUALITY,
        "share of the points near a mode",
        3,
        max,
        {
            "recipes.gan, ring": default("gan", HIGH_QUALITY, "--config=ring"),
            LOOP: gan_races.plain_gan,
            "PyTorch-GAN's rule": gan_races.pytorch_gan,
        },
    ),
    Race(
        "distill",
        ACCURACY,
        "share, of the student",
        4,
        max,
        {"recipes.distill": default("distill", ACCURACY), LOOP: plain_distill},
    ),
    Race(
        "vae",
        LOSS,
        "nats an image",
        2,
        min,
        {"recipes.vae": default("vae", LOSS), LOOP: plain_vae},
    ),
    Race(
        "diffusion",
        LOSS,
        "squared error of v",
        4,
        min,
        {"recipes.diffusion": default("diffusion", LOSS), LOOP: image_races.plain_diffusion},
    ),
    Race(
        "em",
        LOSS,
        "nats an image",
        2,
        min,
        {"recipes.em": default("em", LOSS), LOOP: image_races.plain_em},
    ),
    Race(
        "feedback",
        ACCURACY,
        "share",
        4,
        max,
        {
            "recipes.feedback": default("feedback", ACCURACY),
            LOOP: image_races.plain_feedback,
            "scikit-learn's MLPClassifier": scikit_classify(
                40, hidden_layer_sizes=image_races.WIDTHS
            ),
        },
    ),
    Race(
        "dqn",
        RETURN,
        "return of an episode",
        0,
        max,
        {
            "recipes.dqn": default("dqn", RETURN),
            WITH_GYMNASIUM: control_races.plain_dqn,
            "CleanRL's loop and settings": control_races.cleanrl_dqn,
            ZOO: control_races.ZOO_DQN,
        },
    ),
    Race(
        "policy_gradient",
        RETURN,
        "return of an episode",
        0,
        max,
        {
            "recipes.policy_gradient": default("policy_gradient", RETURN),
            WITH_GYMNASIUM: control_races.plain_ppo,
            "CleanRL's loop and settings": control_races.cleanrl_ppo,
            ZOO: control_races.ZOO_PPO,
        },
    ),
)
