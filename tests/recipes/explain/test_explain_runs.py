"""Explanations of real runs, from the command line to the files."""

import csv
import importlib.util
import shutil
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from recipes.explain.__main__ import main
from recipes.explain.methods import Attribution
from tiny_encoders import roberta
from written_texts import sentences, write_lines

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("captum") is None, reason="needs the extra: explain"
)
SHORT = ("--trainer.max_epochs=3", "--trainer.callbacks=[]")


def lines(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def by_row(found, method):
    """Attributions by row and feature."""
    rows = {}
    for line in found:
        if line["method"] == method:
            rows.setdefault(line["row"], {})[line["feature"]] = float(line["attribution"])
    return rows


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the first test that needs it leaves what it has trained."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def homes(recipe, kept):
    """A regression on a table of numbers and a category, of which one column is noise."""
    if not any(kept.iterdir()):
        train(recipe)
        shutil.copytree(".", kept, dirs_exist_ok=True)
    shutil.copytree(kept, ".", dirs_exist_ok=True)
    return "runs/regress/homes"


def train(recipe):
    draw = np.random.default_rng(0)
    colours = np.array(["red", "green", "blue"])[draw.integers(3, size=150)]
    size, noise = draw.normal(50, 10, 150).round(2), draw.normal(size=150).round(3)
    price = 1000 * (3 * size + 40 * (colours == "red") + draw.normal(size=150))
    cells = zip(size, colours, noise, price.round(), strict=True)
    rows = [f"{s},{c},{n},{p}" for s, c, n, p in cells]
    Path("homes.csv").write_text("\n".join(["size,colour,noise,price", *rows]))
    Path("new.csv").write_text("colour,size,noise\nred,60,0\nblue,40,1\n")
    flags = ("--data=Tabular", "--data.path=homes.csv", "--trainer.max_epochs=40")
    recipe("regress", "fit", "--name=homes", *flags, "--trainer.callbacks=[]")


def test_columns_of_a_table_add_up_in_its_unit(homes, recipe, capsys):
    recipe(
        "regress", "predict", f"--ckpt_path={homes}/checkpoints/best.ckpt", "--data.predict=new.csv"
    )
    capsys.readouterr()
    main([homes, "--method", "kernel_shap", "integrated_gradients", "--data.predict=new.csv"])
    said = capsys.readouterr().out
    assert "kernel_shap: 2 rows; sums miss f(x) - f(b) by " in said
    assert f"{homes}/explain/bars.png, {homes}/explain/summary.png" in said
    found, predictions = (
        lines(f"{homes}/explain/attributions.csv"),
        lines(f"{homes}/predictions.csv"),
    )
    assert {line["explained"] for line in found} == {"price"}
    for method in ("kernel_shap", "integrated_gradients"):
        rows = by_row(found, method)
        for row, prediction in zip(rows.values(), predictions, strict=True):
            reference = {float(line["reference"]) for line in found if line["method"] == method}
            total = reference.pop() + sum(row.values())
            assert total == pytest.approx(float(prediction["prediction"]), rel=2e-3)
            assert [*row] == ["size", "noise", "colour"], "a category is one column"
        red, blue = rows.values()
        assert red["size"] > 10_000 > -10_000 > blue["size"] and red["colour"] > blue["colour"]
        assert max(abs(red["noise"]), abs(blue["noise"])) < 5_000
    values = {line["feature"]: line["value"] for line in found if line["row"] == "0"}
    assert values == {"size": "60", "colour": "red", "noise": "0"}


def test_permuted_columns_are_as_important_as_they_are(homes, capsys):
    main([homes, "--method=permutation", "--output=here"])
    assert "permutation: RMSE gains size " in capsys.readouterr().out
    found = {line["column"]: float(line["loss of rmse"]) for line in lines("here/permutation.csv")}
    assert [*found] == ["size", "noise", "colour"]
    assert found["size"] > found["colour"] > 5_000 > abs(found["noise"])
    (rmse,) = {round(float(line["as it is"])) for line in lines("here/permutation.csv")}
    assert rmse < 15_000, "of predictions in the target's unit"
    assert sorted(path.name for path in Path("here").iterdir()) == [
        "permutation.csv",
        "permutation.png",
    ]
    main([homes, "--method=lime", "--output=here", "--rows=0"])
    kept = sorted(path.name for path in Path("here").iterdir())
    assert kept == ["attributions.csv", "bars.png"], "none of an earlier call's beside them"


@pytest.mark.slow
def test_pictures_have_heat_maps(recipe, capsys):
    recipe("classify", "fit", "--name=a", "--model.network.channels=[4]", *SHORT)
    methods = ["integrated_gradients", "gradient_shap", "lime", "occlusion"]
    flags = ["--rows", "2", "5-6", "--class=3", "--samples=50", "--patch=4", "--output=here"]
    main(["runs/classify/a", "--method", *methods, *flags])
    assert "integrated_gradients: 3 rows; sums miss" in capsys.readouterr().out
    found = lines("here/attributions.csv")
    assert {line["row"] for line in found} == {"2", "5", "6"}
    assert {line["explained"] for line in found} == {"3"}
    assert {line["feature"] for line in found} == {"0,0", "0,4", "4,0", "4,4"}
    assert Path("here/heat.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="--method=permutation is of the columns of a table"):
        main(["runs/classify/a", "--method=permutation"])
    with pytest.raises(ValueError, match=r"--class=eleven: no such class, but 0, 1, 2, 3, .* 8, 9"):
        main(["runs/classify/a", "--class=eleven"])
    with pytest.raises(ValueError, match=r"--rows: there is no row 999, the last one is 359"):
        main(["runs/classify/a", "--rows=999"])


@pytest.mark.slow
def test_words_are_coloured(recipe, capsys):
    good, bad = ["it is <good> & fine", "so good"], ["it is bad", "how bad it was"]
    rows = [*(f"1 {text} {n}" for n in range(20) for text in good)]
    rows += [f"0 {text} {n}" for n in range(20) for text in bad]
    Path("mine.txt").write_text("\n".join(rows))
    data = ("--data=Sentences", "--data.path=mine.txt", "--data.cut=blanks", "--data.batch_size=8")
    network = ("--model.network=TextCNN", "--model.network.width=8", "--model.network.filters=8")
    recipe("classify", "fit", "--name=t", *data, *network, "--trainer.max_epochs=15")
    capsys.readouterr()
    methods = ("integrated_gradients", "kernel_shap", "lime", "feature_ablation", "occlusion")
    main(["runs/classify/t", "--method", *methods, "--rows=0-5", "--samples=100", "--class=1"])
    found = lines("runs/classify/t/explain/attributions.csv")
    for method in ("kernel_shap", "integrated_gradients"):
        rows = by_row(found, method)
        mean = {
            word: np.mean([row[word] for row in rows.values() if word in row])
            for word in {feature for row in rows.values() for feature in row}
        }
        assert all(mean["bad"] < mean[word] for word in ("<good>", "good") if word in mean)
        for line in found:
            if line["method"] == method:
                total = float(line["reference"]) + sum(rows[line["row"]].values())
                assert total == pytest.approx(float(line["output"]), abs=0.02)
    page = Path("runs/classify/t/explain/words.html").read_text()
    assert "&lt;good&gt;</span>" in page or "bad</span>" in page
    assert "<good>" not in page and "class 1 = " in page


def test_words_of_a_pretrained_encoder_stand_between_the_tokens_around_them(recipe, tmp_path):
    """Those are in every text, and padding is not token 0 of RoBERTa's kind."""
    model = roberta(tmp_path / "model")
    write_lines(tmp_path / "texts.txt", sentences(100))
    data = ("--data=Sentences", "--data.path=texts.txt", "--data.tokens=model/tokenizer.json")
    network = (
        "--data.max_length=30",
        "--model.network=TextEncoder",
        f"--model.network.path={model}",
    )
    recipe("classify", "fit", "--name=e", *data, *network, "--trainer.max_epochs=1")
    methods = ("integrated_gradients", "kernel_shap")
    main(["runs/classify/e", "--method", *methods, "--rows=0-2", "--samples=100"])
    found = lines("runs/classify/e/explain/attributions.csv")
    read = Path("texts.txt").read_text().lower().split()
    assert {line["feature"] for line in found} <= {*read, "<unk>"}
    for method, row in product(methods, "012"):
        of = [line for line in found if (line["method"], line["row"]) == (method, row)]
        total = float(of[0]["reference"]) + sum(float(line["attribution"]) for line in of)
        assert total == pytest.approx(float(of[0]["output"]), abs=0.02)


def test_sums_that_miss_end_with_status_1(homes, monkeypatch, capsys):
    """Also the files are written, so that one can look at them."""
    right = Attribution.miss
    monkeypatch.setattr(Attribution, "miss", lambda self, output: right(self, output) + 0.5)
    with pytest.raises(SystemExit) as stop:
        main([homes, "--method=kernel_shap", "--rows=0"])
    assert stop.value.code == 1 and Path(homes, "explain/bars.png").exists()
    assert "by 50 % at most: more than --tolerance=0.01" in capsys.readouterr().out


def test_what_cannot_be_explained_is_said(homes, recipe):
    with pytest.raises(FileNotFoundError, match=r"nothing has no checkpoints/last.ckpt"):
        main(["nothing"])
    for flags, said in {
        ("--samples=0",): r"--samples=0: more than 0",
        ("--rows=9-5",): r"--rows: 9-5 is neither a number, such as 3, nor 5-9",
        ("--method=deeplift",): r"--method: invalid choice: 'deeplift'",
        ("--class=a",): r"--class=a: the run predicts no classes",
        ("--target=b",): r"--target=b: the run has ",
        ("--method=occlusion",): r"--method=occlusion is of pictures and texts",
        ("--method=permutation", "--data.predict=new.csv"): r"no row has a target",
    }.items():
        with pytest.raises(ValueError, match=said):
            main([homes, *flags])


def test_without_the_extra_a_line_says_what_to_install(homes, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(
        ValueError, match=r"--method needs captum.attr: pip install -e '.\[explain\]'"
    ):
        main([homes])
    main([homes, "--method=kernel_shap", "--rows=0"])
