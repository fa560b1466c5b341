"""Ensembles of real runs, from the command line to the files."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from datamodules import Digits
from recipes.ensemble.__main__ import main
from recipes.parts import ConvNet
from recipes.parts.labels import accuracy
from trains import rows

SMALL = ("--model.network.channels=[4]", "--trainer.max_epochs=2")


def table(path):
    with Path(path).open() as file:
        found = list(csv.DictReader(file))
    return {name: [row[name] for row in found] for name in found[0]}


def numbers(columns, names):
    return np.array([[float(cell) for cell in columns[name]] for name in names])


@pytest.fixture
def digits(recipe):
    """The folders of runs on the digits."""

    def fit(*names, flags=()):
        for seed, name in enumerate(names):
            recipe("classify", "fit", f"--name={name}", f"--seed_everything={seed}", *SMALL, *flags)
        return [str(Path("runs/classify", name)) for name in names]

    return fit


def best(folder, key, better=max):
    return better(row[key] for row in rows(Path(folder)) if key in row)


@pytest.mark.slow
def test_runs_become_one(digits, recipe, capsys):
    folders = digits("a", "b")
    for folder in folders:
        recipe("classify", "predict", f"--ckpt_path={folder}/checkpoints/best.ckpt")
    capsys.readouterr()
    main([*folders, "--method=average", "--output=together", "--metric=accuracy"])
    said = capsys.readouterr().out
    assert "chosen by val/accuracy; predictions: average; together/ensemble.json" in said
    assert [line.split("|")[1].strip() for line in said.splitlines()[2:8]] == [
        *(*folders, "average", "selected", "soup", "greedy_soup")
    ]
    facts = json.loads(Path("together/ensemble.json").read_text())
    for folder in folders:
        assert facts["val"][folder]["accuracy"] == pytest.approx(best(folder, "val/accuracy"))
    singles = [facts["val"][folder]["accuracy"] for folder in folders]
    assert facts["val"]["selected"]["accuracy"] >= max(singles)
    assert facts["val"]["greedy_soup"]["accuracy"] >= max(singles)
    parts, written = (
        [table(f"{f}/predictions.csv") for f in folders],
        table("together/predictions.csv"),
    )
    names = [name for name in written if name.startswith("probability")]
    expected = sum(numbers(part, names) for part in parts) / 2
    np.testing.assert_allclose(numbers(written, names), expected, atol=1e-7)
    assert written["target"] == parts[0]["target"]
    assert written["prediction"] == [str(n) for n in expected.argmax(0)]
    right = np.mean([a == b for a, b in zip(written["target"], written["prediction"], strict=True)])
    assert facts["test"]["average"]["accuracy"] == pytest.approx(right)
    network, data = ConvNet([4]), Digits()
    network.load_state_dict(load_file("together/soup.safetensors"))
    data.setup("validate")
    found = [accuracy(network.eval()(data.scale(x)), y) * len(y) for x, y in data.val_dataloader()]
    assert sum(found) / 360 == pytest.approx(facts["val"]["greedy_soup"]["accuracy"])


@pytest.mark.slow
def test_a_soup_of_equal_runs_is_the_run(digits):
    """Also the statistics of its batch-norms, which are computed anew only where they differ."""
    (folder,) = digits(
        "a", flags=("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network")
    )
    shutil.copytree(folder, "runs/classify/b")
    main([folder, "runs/classify/b"])
    facts = json.loads(Path("runs/classify/ensemble/ensemble.json").read_text())
    for split in ("val", "test"):
        for name in ("average", "soup", "greedy_soup"):
            assert facts[split][name] == pytest.approx(facts[split][folder], rel=1e-6)


@pytest.fixture
def own(recipe):
    """The folders of regressions on a table of one's own."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(120, 2)).round(4)
    lines = [
        f"{a},{b},{3 * a - b + 0.3 * e:.4f}"
        for (a, b), e in zip(values, draw.normal(size=120), strict=True)
    ]
    Path("mine.csv").write_text("\n".join(["a,b,y", *lines]))
    Path("new.csv").write_text("b,a\n1,2\n3,4\n0,0\n")

    def fit(name, *flags):
        data = ("--data=Tabular", "--data.path=mine.csv", "--data.target=y")
        recipe("regress", "fit", f"--name={name}", *data, "--trainer.max_epochs=3", *flags)
        return f"runs/regress/{name}"

    return fit


@pytest.mark.slow
def test_regressions_predict_new_rows_together(own, recipe, capsys):
    folders = [own(name, f"--seed_everything={seed}") for seed, name in enumerate("ab")]
    for folder in folders:
        flags = (f"--output={Path(folder).name}.csv", "--data.predict=new.csv")
        recipe("regress", "predict", f"--ckpt_path={folder}/checkpoints/best.ckpt", *flags)
    capsys.readouterr()
    main([*folders, "--method=average", "--data.predict=new.csv", "--output=new"])
    assert "test/" not in capsys.readouterr().out
    parts, written = [table("a.csv"), table("b.csv")], table("new/predictions.csv")
    assert [*written] == [*parts[0]] and written["row"] == ["0", "1", "2"]
    means, stds = (np.array([numbers(p, [n])[0] for p in parts]) for n in ("prediction", "std"))
    np.testing.assert_allclose(numbers(written, ["prediction"])[0], means.mean(0), rtol=1e-6)
    variance = (stds**2 + means**2).mean(0) - means.mean(0) ** 2
    np.testing.assert_allclose(numbers(written, ["std"])[0], variance**0.5, rtol=1e-5)
    facts = json.loads(Path("new/ensemble.json").read_text())
    for folder in folders:
        assert facts["val"][folder]["rmse"] == pytest.approx(
            best(folder, "val/rmse", min), rel=1e-5
        )
        assert facts["val"][folder]["nll"] == pytest.approx(best(folder, "val/nll", min), rel=1e-4)


def copy_of(folder, name, old="", new=""):
    """A run's folder once more, with something else in its config.yaml."""
    other = Path(folder).with_name(name)
    shutil.copytree(folder, other)
    config = other / "config.yaml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    return str(other)


def test_what_cannot_be_one_is_said(own):
    a = own("a")
    b = copy_of(a, "b", " split: 0", " split: 1")
    with pytest.raises(
        ValueError, match=r"regress/b has --data.split=1, runs/regress/a has 0: what"
    ):
        main([a, b])
    with pytest.raises(ValueError, match="give two or more different runs"):
        main([a, f"{a}/checkpoints/best.ckpt"])
    with pytest.raises(ValueError, match=r"--rounds=0: 1 or more"):
        main([a, b, "--rounds=0"])
    with pytest.raises(FileNotFoundError, match=r"nothing has no checkpoints/last.ckpt"):
        main([a, "nothing"])
    with pytest.raises(ValueError, match=r"--metric=accuracy: these runs have rmse, nll"):
        main([a, copy_of(a, "c"), "--metric=accuracy"])
    Path("file").touch()
    with pytest.raises(ValueError, match=r"--output=file: a file, not a folder"):
        main([a, b, "--output=file"])


@pytest.mark.slow
def test_other_networks_have_no_soup_and_other_data_no_average(own, digits, capsys):
    a, b = own("a"), own("b", "--model.network.widths=[3]")
    with pytest.raises(
        ValueError, match=r"--method=soup: .*b has another network than .*a: --model"
    ):
        main([a, b, "--method=soup"])
    main([a, b])
    said = capsys.readouterr().out
    assert "no soup: runs/regress/b has another network" in said and "greedy_soup" not in said
    (folder,) = digits("a")
    with pytest.raises(ValueError, match=r"classify/a has --data.class_path=.*Digits, .*/a has .*"):
        main([a, folder])
