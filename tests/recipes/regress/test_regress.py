"""Regress: its metrics against others' in the target's own unit, its networks, what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from scipy.stats import norm
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    r2_score,
    root_mean_squared_error,
)
from torch import nn

from callbacks import WritePredictions
from datamodules import Diabetes
from recipes.parts.dropout import mc_dropout
from recipes.parts.networks import MLP, ConvNet
from recipes.regress import Regress
from recipes.regress.prediction import mixture
from trains import digits, fit, interrupt_after, rows, weights


def data(**kwargs):
    return Diabetes(**{"batch_size": 40, **kwargs})


def sgd(params):
    return torch.optim.SGD(params, lr=0.05)


def regress(seed=1, outputs=1, dropout=0.0, **kwargs):
    torch.manual_seed(seed)
    return Regress(lambda: MLP(10, [9], outputs, dropout=dropout), **{"optimizer": sgd, **kwargs})


def predicted(trainer, module):
    """All columns of predict, and the targets as the data have them."""
    batches = trainer.predict(module, datamodule=trainer.datamodule)
    columns = {key: torch.cat([b[key] for b in batches]).double().numpy() for key in batches[0]}
    own = trainer.datamodule
    _, targets = own.examples
    test = own.split_rows(len(targets), own.split)[2]
    np.testing.assert_allclose(columns["target"], targets[test], rtol=1e-5)
    return columns


def evaluated(trainer, module):
    (metrics,) = trainer.test(module, datamodule=trainer.datamodule, verbose=False)
    return {key.removeprefix("test/"): value for key, value in metrics.items()}


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "mse"},
        {"loss": "huber", "delta": 0.5},
        {"loss": "gaussian_nll", "outputs": 2},
        {"loss": "mae", "ensemble": 3},
        {"loss": "gaussian_nll", "outputs": 2, "ensemble": 2, "mc_samples": 3, "dropout": 0.2},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_metrics_are_sklearns_and_scipys_in_the_targets_own_unit(tmp_path, settings):
    """Of 88 test rows, in batches that are not of one size."""
    module, trainer = fit(regress(**settings), data(), tmp_path, max_epochs=3)
    found, columns = evaluated(trainer, module), predicted(trainer, module)
    target, point, std = (columns[key] for key in ("target", "prediction", "std"))
    assert std.min() > 5 and target.mean() > 100, "in the target's own unit"
    observed = [
        np.mean(np.abs(target - point) <= norm.ppf(0.5 + share / 2) * std)
        for share in np.arange(1, 10) / 10
    ]
    expected = {
        "rmse": root_mean_squared_error(target, point),
        "mae": mean_absolute_error(target, point),
        "r2": r2_score(target, point),
        "nll": -norm.logpdf(target, point, std).mean(),
        "coverage": observed[-1],
        "calibration": np.abs(observed - np.arange(1, 10) / 10).mean(),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)
    if settings["loss"] == "gaussian_nll" and "ensemble" not in settings:
        # The training loss, of the standardised target.
        shift = np.log(trainer.datamodule.target_std)
        assert found["loss"] == pytest.approx(found["nll"] - shift, rel=1e-5)


def test_metrics_of_quantiles(tmp_path):
    settings = {"loss": "quantile", "quantiles": [0.05, 0.5, 0.8, 0.95], "outputs": 4}
    module, trainer = fit(regress(**settings), data(), tmp_path, max_epochs=30)
    found, columns = evaluated(trainer, module), predicted(trainer, module)
    target, quantiles = columns["target"], columns["quantile"]
    np.testing.assert_array_equal(quantiles[:, 1], columns["prediction"])
    pairs = list(zip(settings["quantiles"], quantiles.T, strict=True))
    inside = (quantiles[:, 0] <= target) & (target <= quantiles[:, 3])
    loss = np.mean([mean_pinball_loss(target, value, alpha=q) for q, value in pairs])
    expected = {
        "loss": loss / trainer.datamodule.target_std,
        "rmse": root_mean_squared_error(target, quantiles[:, 1]),
        "coverage": inside.mean(),
        "calibration": np.mean([abs((target < value).mean() - q) for q, value in pairs]),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert "nll" not in found and found["coverage"] > 0.6


def test_coverage_needs_the_quantiles_that_it_is_of(tmp_path):
    settings = {"loss": "quantile", "quantiles": [0.1, 0.9], "outputs": 2}
    module, trainer = fit(regress(**settings), data(), tmp_path)
    assert "coverage" not in evaluated(trainer, module)


def test_moments_of_a_mixture():
    """Of two normals, by the integral over their mean density."""
    mean, variance = mixture(torch.tensor([[1.0], [4.0]]), torch.tensor([[0.25], [4.0]]))
    grid = np.linspace(-20, 30, 200_001)
    density = (norm.pdf(grid, 1, 0.5) + norm.pdf(grid, 4, 2)) / 2 * (grid[1] - grid[0])
    first = (grid * density).sum()
    assert mean.item() == pytest.approx(first, rel=1e-5)
    assert variance.item() == pytest.approx(((grid - first) ** 2 * density).sum(), rel=1e-5)


def test_an_ensembles_networks_are_those_trained_alone(tmp_path):
    """From initialisations of their own, also where gradients are clipped."""
    clip = {"gradient_clip_val": 0.3, "max_epochs": 3}
    together, _ = fit(regress(ensemble=3), data(), tmp_path, **clip)
    torch.manual_seed(1)
    made = iter([MLP(10, [9], 1) for _ in range(3)])
    assert len(together.networks) == 3
    for network in together.networks:
        alone, _ = fit(Regress(lambda: next(made), optimizer=sgd), data(), tmp_path, **clip)
        torch.testing.assert_close(weights(network), weights(alone.network))
    one, two, three = map(weights, together.networks)
    assert not torch.allclose(one, two, atol=0.1) and not torch.allclose(two, three, atol=0.1)


def test_a_clipping_limit_below_zero_clips_nothing(tmp_path):
    one, _ = fit(regress(), data(), tmp_path)
    two, _ = fit(regress(), data(), tmp_path, gradient_clip_val=-1.0)
    assert torch.equal(weights(one.network), weights(two.network))


def test_an_ensembles_losses(tmp_path):
    """Of a validation: the mean over its networks, of which the mixture's would be less."""
    module, trainer = fit(regress(ensemble=3), data(), tmp_path)
    trainer.datamodule.setup("fit")
    inputs, targets = (
        torch.cat(column) for column in zip(*trainer.datamodule.val_dataloader(), strict=True)
    )
    with torch.no_grad():
        losses = [
            (network(inputs).squeeze(1) - targets).square().mean() for network in module.networks
        ]
    expected = sum(losses).item() / 3
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(expected, rel=1e-5)


def test_one_network_starts_as_it_would_alone_and_is_trained_plainly(tmp_path):
    module, trainer = fit(regress(seed=4), data(), tmp_path, max_epochs=2)
    torch.manual_seed(4)
    network = MLP(10, [9], 1)
    optimizer = sgd(network.parameters())
    loader = trainer.datamodule.train_dataloader()
    for epoch in range(2):
        loader.set_epoch(epoch)
        for inputs, targets in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(network(inputs).squeeze(1), targets).backward()
            optimizer.step()
    torch.testing.assert_close(weights(module.network), weights(network), rtol=1e-6, atol=1e-7)


def test_noise_is_what_the_networks_spread_lacks_of_the_residuals(tmp_path):
    """So that the variance is right on average, on the validation split."""
    settings = {"mc_samples": 10, "dropout": 0.3}
    module, trainer = fit(regress(**settings), data(), tmp_path, max_epochs=3)
    batches = Trainer(**QUIET).predict(module, trainer.datamodule.val_dataloader())
    columns = {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}
    residuals = (columns["target"] - columns["prediction"]).square().mean()
    assert columns["std"].square().mean().item() == pytest.approx(residuals.item(), rel=1e-4)
    assert columns["std"].std() > 0, "it is not the same everywhere"


QUIET = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}


def test_dropout_in_evaluation_is_a_function_of_seed_and_batch(tmp_path, monkeypatch):
    module, trainer = fit(regress(mc_samples=5, dropout=0.5), data(), tmp_path)
    first = predicted(trainer, module)["prediction"]
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = predicted(trainer, module)["prediction"]
    assert torch.equal(torch.get_rng_state(), state), "the global generator is as it was"
    np.testing.assert_array_equal(first, again)
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    assert np.abs(predicted(trainer, module)["prediction"] - first).max() > 1
    module.mc_samples = 2000
    many = predicted(trainer, module)["prediction"]
    module.mc_samples = 0
    off = predicted(trainer, module)["prediction"]
    assert np.corrcoef(many, off)[0, 1] > 0.99, "its mean is near the network without dropout"


def test_dropout_alone_is_in_training_mode():
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), nn.Dropout(0.0)).eval()
    with pytest.raises(MemoryError), mc_dropout(network, torch.device("cpu"), 0):
        assert [part.training for part in network] == [True, False, False]
        raise MemoryError
    assert not any(part.training for part in network.modules())


def test_evaluation_with_dropout_changes_no_training(tmp_path):
    one, _ = fit(regress(dropout=0.5), data(), tmp_path, max_epochs=3)
    settings = {"dropout": 0.5, "mc_samples": 4}
    two, _ = fit(regress(**settings), data(), tmp_path, max_epochs=3, val_check_interval=2)
    assert torch.equal(weights(one.network), weights(two.network))


def test_without_validation_there_is_no_variance(tmp_path):
    module, trainer = fit(regress(), data(val_size=0), tmp_path)
    assert evaluated(trainer, module).keys() == {"loss", "rmse", "mae", "r2"}
    assert predicted(trainer, module).keys() == {"target", "prediction"}
    module, trainer = fit(regress(loss="gaussian_nll", outputs=2), data(val_size=0), tmp_path)
    assert "nll" in evaluated(trainer, module), "it has its own"


def test_a_loaded_checkpoint_predicts_in_the_targets_own_unit(tmp_path):
    module, trainer = fit(regress(), data(), tmp_path, max_epochs=2)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["loss"] == "mse"
    other = Regress.load_from_checkpoint(tmp_path / "a.ckpt", network=lambda: MLP(10, [9], 1))
    assert other.evaluations == module.evaluations == 2 * len(trainer.datamodule.train_dataloader())
    expected = predicted(trainer, module)
    own = data()
    own.setup("predict")
    loader = own.predict_dataloader()  # alone, it says nothing of the target's unit
    batches = Trainer(**QUIET).predict(other, loader)
    for key, value in expected.items():
        found = torch.cat([batch[key] for batch in batches]).numpy()
        np.testing.assert_allclose(found, value, rtol=1e-6)


def test_data_that_are_standardised_otherwise_are_refused(tmp_path):
    module, trainer = fit(regress(), data(), tmp_path)
    with pytest.raises(ValueError, match=r"another training target .*: give it the file, col"):
        trainer.test(module, datamodule=data(split=1), verbose=False)
    other = data()
    inputs, targets = other.examples
    # The same target, but columns in another order, or fewer.
    for other.examples in ((inputs.flip(1), targets), (inputs[:, 1:], targets)):
        other._splits.clear()
        with pytest.raises(ValueError, match=r"--data has other training inputs than .*columns"):
            trainer.test(module, datamodule=other, verbose=False)


def test_a_run_is_resumed_on_its_own_split_alone(tmp_path):
    """Rows for validation and testing would be among those that it has trained on."""
    module, trainer = fit(regress(), data(), tmp_path)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = Trainer(**QUIET, max_epochs=2, accelerator="cpu", default_root_dir=tmp_path)
    with pytest.raises(ValueError, match="another training target"):
        again.fit(regress(), datamodule=data(split=1), ckpt_path=tmp_path / "a.ckpt")
    again.fit(regress(), datamodule=data(), ckpt_path=tmp_path / "a.ckpt")
    fit(module, data(split=1), tmp_path)  # not resumed, but trained on


def test_images_are_refused_by_their_size(tmp_path):
    with pytest.raises(ValueError, match="--data=Digits: its target is a class, which"):
        fit(regress(), digits(), tmp_path)
    images = digits()
    images.class_count = None  # their targets are numbers
    with pytest.raises(ValueError, match=r"inputs=10, but the data have 64 features"):
        fit(regress(), images, tmp_path)
    module = Regress(lambda: ConvNet([4], outputs=1))
    fit(module, images, tmp_path)


def test_the_targets_unit_is_not_rounded(tmp_path):
    """By weights of few bits, nor where the mean is large: predictions are those of y + mean."""
    module, trainer = fit(regress(), data(), tmp_path, precision="bf16-true")
    assert module.scaling["target"] == [
        trainer.datamodule.target_mean,
        trainer.datamodule.target_std,
    ]
    module, trainer = fit(regress(), data(), tmp_path)
    usual, far = predicted(trainer, module), data()
    inputs, targets = far.examples
    far.examples = (inputs, targets + 1e9)
    module, trainer = fit(regress(), far, tmp_path)
    found = predicted(trainer, module)
    for name in ("target", "prediction"):
        np.testing.assert_allclose(found[name] - 1e9, usual[name], atol=0.01)


@pytest.mark.parametrize(
    ("network", "loss", "line"),
    [
        (lambda: MLP(8, [9], 1), "mse", r"--model.network.inputs=8, but the data have 10 features"),
        (lambda: MLP(10, [9]), "mse", r"loss=mse needs --model.network.outputs=1: .*\(2, 10\)"),
        (lambda: MLP(10, [9], 1), "gaussian_nll", r"=gaussian_nll needs .*outputs=2"),
        (lambda: MLP(10, [9], 2), "quantile", r"=quantile needs --model.network.outputs=3"),
        (
            lambda: nn.Sequential(nn.Unflatten(1, (3, 4)), nn.Flatten(), nn.Linear(10, 1)),
            "mse",
            r"--model.network does not take inputs \(10,\): ",
        ),
        (lambda: nn.Sequential(nn.Linear(10, 1), nn.Flatten(0)), "mse", r"makes \(2,\) of two"),
    ],
)
def test_networks_that_do_not_fit_are_refused_in_one_line(tmp_path, network, loss, line):
    with pytest.raises(ValueError, match=line) as refused:
        fit(Regress(network, loss=loss), data(), tmp_path)
    assert "\n" not in str(refused.value)


def test_dropout_is_needed_for_its_samples():
    with pytest.raises(ValueError, match=r"mc_samples=5: MLP has no dropout, .*dropout=0.1"):
        regress(mc_samples=5)


def test_quantiles_are_needed_for_their_loss():
    with pytest.raises(ValueError, match=r"--model.loss=quantile needs --model.quantiles"):
        regress(loss="quantile", quantiles=[])


def test_looking_at_a_network_changes_nothing(tmp_path):
    """Neither its batch-norm nor the random numbers."""

    def network():
        return nn.Sequential(nn.Linear(10, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))

    torch.manual_seed(0)
    module = Regress(network)
    before, state = weights(module.network), torch.get_rng_state()
    fit(module, data(), tmp_path, max_steps=0)
    assert torch.equal(weights(module.network), before)
    assert torch.equal(torch.get_rng_state(), state)
    fit(module, data(), tmp_path)


def test_predictions_are_a_table(tmp_path):
    settings = {"loss": "quantile", "outputs": 3}
    module, trainer = fit(regress(**settings), data(), tmp_path, [WritePredictions()])
    predicted(trainer, module)
    header, *table = (tmp_path / "predictions.csv").read_text().splitlines()
    assert header == "target,prediction,quantile_0,quantile_1,quantile_2" and len(table) == 88


DROPOUT = (
    "--model.network.dropout=0.2",
    "--model.mc_samples=3",
    "--model.ensemble=2",
    "--trainer.max_epochs=4",
    "--data.batch_size=32",
)


@pytest.mark.slow
def test_a_killed_run_resumes_identically(recipe, monkeypatch):
    recipe("regress", "fit", "--name=whole", *DROPOUT)
    with monkeypatch.context() as context:
        interrupt_after(20, context)
        with pytest.raises(MemoryError):
            recipe("regress", "fit", "--name=cut", *DROPOUT)
    recipe("regress", "fit", "--ckpt_path=runs/regress/cut/checkpoints/last.ckpt")
    whole, cut = (Path("runs/regress", name) for name in ("whole", "cut"))
    assert rows(cut) == rows(whole)
    states = [torch.load(folder / "network.pt", weights_only=True) for folder in (whole, cut)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_training_without_validation_says_nothing_of_it(recipe, recwarn):
    recipe("regress", "fit", "--data.val_size=0", "--trainer.max_epochs=1")
    assert not [w for w in recwarn if "Total length" in str(w.message)]
