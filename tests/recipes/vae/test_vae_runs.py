"""Autoencoders from the command line: interruptions, processes, codes, pictures, refusals."""

import csv
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import own_tables
from datamodules import Digits
from forks import ended_well, ranks
from marks import slow, some
from photos import plain
from recipes.vae import VAE, LatentPictures
from recipes.vae.anomalies import Anomalies
from recipes.vae.likelihoods import Gaussian
from recipes.vae.networks import MLPDecoder, MLPEncoder
from trains import fit, interrupt_after, middle_of_epoch, rows, weights

LAST = "checkpoints/last.ckpt"
BARE = ("--trainer.callbacks=[]",)
TINY = ("--model.encoder.widths=[8]", "--model.decoder.widths=[8]", "--model.latent=3", *BARE)
BINARY = ("--model.likelihood=Bernoulli", *TINY)
IWAE = ("--model.method=iwae", "--model.samples=3", *BINARY)


def saved(name, file="last"):
    return torch.load(f"runs/vae/{name}/checkpoints/{file}.ckpt", weights_only=True)


def table(path):
    with Path(path).open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_an_interrupted_run_resumes_exactly(recipe, monkeypatch):
    """In the middle of an epoch: codes, pixels and corruption go on."""
    flags = (*IWAE, "--model.corruption=Masking", "--data.batch_size=40", "--trainer.max_epochs=3")
    recipe("vae", "fit", *flags, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(40, patch)
        with pytest.raises(MemoryError):
            recipe("vae", "fit", *flags, *middle_of_epoch("runs/vae/cut"), "--name=cut")
    assert saved("cut", "middle")["global_step"] == 40 - 10
    recipe("vae", "fit", "--ckpt_path=runs/vae/cut/checkpoints/middle.ckpt")
    one, two = (saved(name)["state_dict"] for name in ("whole", "cut"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert rows(Path("runs/vae/whole")) == rows(Path("runs/vae/cut"))


EXACT = ("--trainer.precision=64-true", "--trainer.max_epochs=2", "--data.val_size=361")
ANOMALIES = ("--model.anomalies=[7,8]", "--data.classes=[0,1,2,3,4,5,6,9]")


@pytest.mark.parametrize("method", ["iwae", slow("vae"), slow("autoencoder")])
def test_two_processes_and_accumulated_batches_train_what_one_does(recipe, method):
    flags = {
        "iwae": IWAE,
        "vae": (*TINY, "--model.corruption=GaussianNoise", "--model.evaluation=ImageQuality"),
        "autoencoder": (*TINY, "--model.method=autoencoder", "--model.corruption=SaltAndPepper"),
    }[method]
    both = (*flags, *EXACT, *ANOMALIES)
    recipe("vae", "fit", *both, "--name=one", "--data.batch_size=64")
    accumulated = ("--data.batch_size=32", "--trainer.accumulate_grad_batches=2")
    recipe("vae", "fit", *both, "--name=parts", *accumulated, "--trainer.limit_train_batches=26")
    ddp = ("--config=ddp", "--trainer.devices=2", "--data.batch_size=32")
    ended_well(*ranks(2, "recipes.vae", "fit", *both, *ddp, "--name=two"))
    for key, value in saved("one")["state_dict"].items():
        for name in ("two", "parts"):
            other = saved(name)["state_dict"][key]
            torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-10)
    logs = [rows(Path("runs/vae", name))[-1] for name in ("one", "two", "parts")]
    assert {"val/loss", "val/reconstruction", "val/auroc_loss"} <= logs[0].keys()
    assert ("val/active_units" in logs[0]) == (method != "autoencoder")
    # The floors are of the training images that each process has first.
    compared = {key for key in logs[0] if key.startswith("val/") and not key.endswith("_floor")}
    for key in compared:
        assert [other[key] for other in logs] == pytest.approx([logs[0][key]] * 3, rel=1e-7), key


def test_codes_and_scores_of_each_row_are_predicted(recipe):
    recipe("vae", "fit", *IWAE, *ANOMALIES, "--name=a", "--trainer.max_epochs=3")
    point = f"--ckpt_path=runs/vae/a/{LAST}"
    recipe("vae", "test", point, "--model.nll_samples=60")
    recipe("vae", "predict", point)
    found = table("runs/vae/a/predictions.csv")
    assert {"target", "loss", "reconstruction", "kl", "code_0", "code_2"} <= found[0].keys()
    (tested,) = rows(Path("runs/vae/a"), "test")
    normal = [row for row in found if row["target"] not in (7, 8)]
    assert 0 < len(normal) < len(found) == 360
    for name in ("loss", "reconstruction", "kl"):
        assert tested[f"test/{name}"] == pytest.approx(np.mean([r[name] for r in normal]), rel=1e-5)
    for name in ("loss", "reconstruction"):
        area = roc_auc_score([r["target"] in (7, 8) for r in found], [r[name] for r in found])
        assert tested[f"test/auroc_{name}"] == pytest.approx(area)
    assert tested["test/nll"] < tested["test/loss"], "of 60 codes, and of 3"


def test_images_are_drawn_from_the_prior(recipe, capsys):
    quality = "--model.evaluation=ImageQuality"
    recipe("vae", "fit", *BINARY, quality, "--name=a", "--trainer.max_epochs=1")
    found = rows(Path("runs/vae/a"))[-1]
    assert 0.5 < found["val/fid_pixels"] < 50
    last = f"fid_pixels {found['val/fid_pixels']:.4g} (floor {found['val/fid_pixels_floor']:.4g})"
    assert last in capsys.readouterr().out
    point = f"--ckpt_path=runs/vae/a/{LAST}"
    recipe("vae", "predict", point, "--count=70")
    samples = np.load("runs/vae/a/sample.npy")
    assert samples.shape == (70, 1, 8, 8) and 0 < samples.min() < samples.max() < 1
    assert len(list(Path("runs/vae/a/generated").glob("*.png"))) == 70
    recipe("vae", "predict", point, "--count=66")
    np.testing.assert_allclose(np.load("runs/vae/a/sample.npy"), samples[:66], rtol=1e-5)
    recipe("vae", "predict", point, "--interpolate=5", "--count=2")
    assert Path("runs/vae/a/interpolation.png").exists()


def test_new_rows_of_a_table_are_in_its_columns_and_units(recipe, tmp_path):
    path = own_tables.diabetes(tmp_path)
    flags = ("--data=Tabular", f"--data.path={path}", "--data.ignore=[patient,day]", *TINY)
    recipe("vae", "fit", *flags, "--data.missing=mean", "--model.likelihood=Gaussian", "--name=a")
    path.unlink()
    recipe("vae", "predict", f"--ckpt_path=runs/vae/a/{LAST}", "--count=200")
    assert not Path("runs/vae/a/predictions.csv").exists()
    with Path("runs/vae/a/samples.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 200 and {"age", "sex", "region", "progression"} <= found[0].keys()
    assert {row["sex"] for row in found} <= {"female", "male"}
    ages = [float(row["age"]) for row in found]
    assert 40 < np.mean(ages) < 60, "years"


def untrained(**options):
    torch.manual_seed(0)
    networks = MLPEncoder(64, 6, [16]), MLPDecoder(3, [1, 8, 8], [16])
    return VAE(*networks, Gaussian(), 3, **options)


def test_pictures_leave_training_as_it_is(tmp_path):
    module, _ = fit(untrained(), Digits(batch_size=359), tmp_path, max_epochs=2)
    drawn, _ = fit(untrained(), Digits(batch_size=359), tmp_path, [LatentPictures(2)], max_epochs=2)
    assert weights(module).equal(weights(drawn))
    for name in ("samples", "reconstructions", "between", "latent"):
        picture = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert picture.shape[1] >= 400 and picture[..., :3].std() > 0.1


def test_the_collapse_of_the_posterior_is_counted_and_named(recipe, capsys):
    """A KL that weighs a thousandfold is worth no code."""
    recipe("vae", "fit", *BINARY, "--model.beta=1000", "--trainer.max_epochs=12", "--name=a")
    assert rows(Path("runs/vae/a"))[-1]["val/active_units"] == 0
    assert "0 of 3 units active: posterior collapse" in capsys.readouterr().out


def test_faults_in_pictures_of_ones_own_are_found(recipe, capsys):
    """Training has seen none of them, as where a folder `train` has no other class."""
    for part, faults in (("train", 0), ("test", 8)):
        for number in range(40):
            plain(Path(f"parts/{part}/whole/{part}{number}.png"), 0)
        for number in range(faults):
            plain(Path(f"parts/{part}/broken/{part}{number}.png"), 250)
            plain(Path(f"parts/{part}/scratched/{part}{number}.png"), 240)
    flags = ("--data=ImageFolder", "--data.path=parts", "--data.size=8", "--data.val_size=10")
    flags += ("--data.batch_size=10",)
    flags += ("--model.encoder=ConvEncoder", "--model.decoder=ConvDecoder", "--model.latent=2")
    flags += ("--model.likelihood.levels=256", "--model.anomalies=[0,1]", *BARE)
    with pytest.raises(ValueError, match="class broken in parts/test is none of those that are"):
        recipe("vae", "fit", *flags)
    with pytest.raises(ValueError, match=r"--data\.train_classes must name those that training"):
        recipe("vae", "fit", *flags, "--data.path=parts/test", "--data.test_size=0")
    kept = "--data.train_classes=[whole]"
    recipe("vae", "fit", *flags, kept, "--trainer.max_epochs=2", "--name=a")
    assert "no AUROC: all of these data are anomalies, or none is" in capsys.readouterr().out
    recipe("vae", "test", f"--ckpt_path=runs/vae/a/{LAST}")
    assert rows(Path("runs/vae/a"), "test")[0]["test/auroc_loss"] == 1
    plain(Path("further/test/broken/9.png"), 250)
    plain(Path("further/test/whole/8.png"), 0)
    shutil.rmtree("parts")
    recipe("vae", "test", f"--ckpt_path=runs/vae/a/{LAST}", "--data.path=further")
    found = rows(Path("runs/vae/a"), "test")[-1]  # by the fit's numbers: `whole` is 2
    assert found["test/auroc_loss"] == 1
    recipe("vae", "predict", f"--ckpt_path=runs/vae/a/{LAST}", "--data.predict=further/test")
    with Path("runs/vae/a/predictions.csv").open() as file:
        loss = {row["file"]: float(row["loss"]) for row in csv.DictReader(file)}
    assert loss["broken/9.png"] > loss["whole/8.png"]
    recipe("vae", "predict", f"--ckpt_path=runs/vae/a/{LAST}", "--count=3")
    assert np.load("runs/vae/a/sample.npy").shape == (3, 3, 8, 8)


def test_classes_that_are_neither_are_left_out_of_the_comparison(recipe):
    """As if the data were without them."""
    flags = ("--config=anomaly", "--data.classes=[0,1]", "--model.anomalies=[8]")
    flags += ("--trainer.max_epochs=3", "--trainer.callbacks=[]")
    recipe("vae", "fit", *flags, "--name=a")
    found = rows(Path("runs/vae/a"))[-1]
    assert found["val/auroc_loss"] > 0.9, "0.5 with the other seven classes as no anomalies"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Anomalies, "compared", lambda self, targets: targets >= 0)
        recipe("vae", "fit", *flags, "--name=b")
    assert rows(Path("runs/vae/b"))[-1]["val/auroc_loss"] < 0.7


def test_predictions_are_of_what_is_given_and_not_of_what_is_corrupted(recipe):
    recipe("vae", "fit", "--config=denoising", "--trainer.max_epochs=1", "--name=a")
    last = f"runs/vae/a/{LAST}"
    recipe("vae", "predict", f"--ckpt_path={last}")
    module, data = VAE.load_from_checkpoint(last).eval(), Digits()
    data.prepare_data()
    data.setup("predict")
    images, *_ = next(iter(data.predict_dataloader()))
    with torch.no_grad():
        codes, _ = module.encode(data.scale(images))
    found = table("runs/vae/a/predictions.csv")[: len(codes)]
    found = [[row[f"code_{i}"] for i in range(codes.shape[1])] for row in found]
    torch.testing.assert_close(torch.tensor(found), codes, rtol=1e-4, atol=1e-5)


def test_every_row_is_one_of_the_likelihood_s(recipe, tmp_path):
    values = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    values[150:, 1] = 5.0
    lines = ["a,b,c,d"] + [",".join(f"{v:.3f}" for v in (*row, 0.0)) for row in values.tolist()]
    (tmp_path / "unit.csv").write_text("\n".join(lines))
    table = ("--data=Tabular", f"--data.path={tmp_path}/unit.csv", "--data.standardize=false")
    table += ("--data.target=d", "--data.batch_size=2", "--data.stratify=false")
    networks = ("--model.encoder=MLP", "--model.encoder.widths=[8]", "--model.decoder=MLP")
    networks += ("--model.decoder.inputs=2", "--model.decoder.widths=[8]", "--model.latent=2")
    with pytest.raises(ValueError, match="Bernoulli"):
        recipe("vae", "fit", *table, *networks, "--model.likelihood=Bernoulli")


REFUSED = {
    "--model.method=iwae": r"--model\.method=iwae weighs several codes: give --model\.samples=5",
    "--model.method=iwae --model.samples=2 --model.beta=2": r"--model\.beta=2 is of",
    "--model.method=autoencoder --model.samples=2": r"--model\.samples=2: an autoencoder",
    "--model.method=autoencoder --model.evaluation=ImageQuality": "has no prior",
    "--model.method=autoencoder --model.nll_samples=2": r"--model\.nll_samples=2: an autoencoder",
    "--model.encoder.outputs=5": r"--model\.encoder gives \(5,\) for an example, not \(16,\)",
    "--model.decoder.shape=[1,4,4]": r"--model\.decoder gives \(1, 4, 4\)",
    "--model.likelihood.scale=decoded": r"takes 2 for each .* --model\.decoder\.parameters=2",
    "--model.encoder.inputs=63": r"--model\.encoder",
    "--model.anomalies=[7]": r"--data\.classes must name those that training sees",
    "--model.anomalies=[7] --data.classes=[6,7]": r"--data\.classes has \[7\] too",
    "--model.anomalies=[77] --data.classes=[6,7]": r"Digits has no class 77",
    "--data=TinyShakespeare --model.encoder.inputs=64 --model.decoder.shape=[64]": "is text",
    "--model.likelihood.levels=1": "levels",
    "--model.beta=-1": "beta",
}


@pytest.mark.parametrize("flags", some(REFUSED, 3))
def test_what_would_be_wrong_is_refused(recipe, flags):
    with pytest.raises((ValueError, SystemExit), match=REFUSED[flags]) as caught:
        recipe("vae", "fit", *flags.split(), "--trainer.max_epochs=1")
    assert "\n" not in str(caught.value).strip()
    assert not list(Path().glob("runs/vae/*/metrics.jsonl"))
