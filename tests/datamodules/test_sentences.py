"""Sentences: what is read, batches of about equal lengths, and runs on a file of one's own."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from datamodules import Sentences
from datamodules.loading.missing import is_known
from datamodules.loading.padded import BucketLoader, PaddedTable
from datamodules.reading.labelled_texts import read_labelled
from datamodules.reading.vocabulary import PADDING
from forks import ended_well, ranks
from trains import interrupt_after, middle_of_epoch, seen_by
from written_texts import sentences, write_csv, write_lines

SMALL = ("--model.network=TextCNN", "--model.network.width=8", "--model.network.filters=4")
SHORT = ("--trainer.max_epochs=1", "--data.batch_size=20")
CONVOLUTIONS = ("--model.network=ConvNet", "--model.network.channels=[4]")


@pytest.fixture
def lines(tmp_path):
    return write_lines(tmp_path / "texts.txt", sentences(300))


def made(path, **options):
    data = Sentences(str(path), **options)
    data.setup("fit")
    data.trainer = seen_by(0, 1)
    return data


def test_lines_and_tables_are_the_same_texts(tmp_path, lines):
    pandas = pytest.importorskip("pandas")
    pairs = sentences(300)
    table = write_csv(tmp_path / "texts.csv", pairs)
    frame = pandas.DataFrame(pairs, columns=["topic", "review"])
    frame.to_parquet(tmp_path / "texts.parquet")
    columns = {"text": "review", "label": "topic"}
    whole = made(lines)
    assert whole.class_names == ["food", "sport", "weather"]
    sizes = {part: len(table) for part, table in whole.tables.items()}
    assert sizes == {"train": 243, "val": 27, "test": 30}
    for path in (table, tmp_path / "texts.parquet"):
        other = made(path, **columns)
        assert other.vocabulary == whole.vocabulary
        for part, expected in whole.tables.items():
            for name, value in expected.tensors().items():
                assert torch.equal(other.tables[part].tensors()[name], value), (path, part, name)


def test_words_are_those_of_the_training_texts_alone(tmp_path):
    train = write_lines(tmp_path / "a", [("x", "Good, good film!"), ("y", "bad film")] * 5)
    test = write_lines(tmp_path / "b", [("x", "good strange <pad> film")])
    data = made(train, val_size=0, test_path=str(test))
    expected = ("<pad>", "<unk>", "film", "good", "!", ",", "bad")
    assert data.vocabulary.symbols == expected, "the most frequent first, then by alphabet"
    ((tokens, labels),) = list(data.test_dataloader())
    known = data.vocabulary.number
    assert labels.tolist() == [0]
    # good, strange, the three signs and letters of <pad>, film
    assert tokens[0].tolist() == [known["good"], 1, 1, 1, 1, known["film"]]
    blanks = made(train, val_size=0, test_path=str(test), cut="blanks")
    ((tokens, _),) = list(blanks.test_dataloader())
    assert tokens[0].tolist() == [
        blanks.vocabulary.number["good"] if "good" in blanks.vocabulary.number else 1,
        1,
        1,
        blanks.vocabulary.number["film"],
    ]
    few = made(train, val_size=0, test_size=0, words=1, min_count=2, max_length=2)
    assert few.vocabulary.symbols == ("<pad>", "<unk>", ","), "as often as others, by alphabet"
    assert max(few.tables["train"].lengths) == 2


@pytest.mark.parametrize(
    ("content", "options", "line"),
    [
        (b"a one\nb\na two\n", {}, "line 2: no text; --data.on_error=skip leaves"),
        (b"", {}, "has no text"),
        (b"a one\na two\n", {}, r"--data\.path=.*: one class, a: nothing to tell apart"),
        (b"a na\xefve\n", {}, "say --data.encoding, such as latin-1"),
    ],
)
def test_what_is_no_text_is_refused_by_its_line(tmp_path, content, options, line):
    path = tmp_path / "texts.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=line):
        made(path, **options)
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv: no such file"):
        made(tmp_path / "nothing.csv")


@pytest.mark.parametrize("between", [b" ", b"\t", b"\xc2\xa0", b"  \t"])
def test_a_class_ends_with_the_first_blank_of_any_kind(tmp_path, between):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"ham" + between + b"see you\nspam" + between + b"win now\n")
    found = read_labelled(path, "text", "label")
    assert (found.labels, found.texts) == (["ham", "spam"], ["see you", "win now"])


def test_lines_to_predict_are_those_of_the_file(tmp_path):
    path = tmp_path / "new.txt"
    path.write_text("good\n\nbad\n\n")
    with pytest.raises(ValueError, match="line 2: no text"):
        read_labelled(path, "text", None)
    found = read_labelled(path, "text", None, on_error="skip")
    assert (found.texts, found.skipped) == (["good", "bad"], ["line 2"])


def test_json_is_refused(tmp_path):
    path = tmp_path / "new.jsonl"
    path.write_text('{"text": "a", "label": "b"}\n')
    with pytest.raises(ValueError, match="JSON is not read: a table"):
        read_labelled(path, "text", "label")


def test_a_fit_goes_on_with_the_texts_that_it_began_with(tmp_path, lines):
    saved = made(lines).state_dict()
    other = made(write_lines(tmp_path / "others.txt", sentences(300)[::-1]))
    other.trainer = SimpleNamespace(state=SimpleNamespace(fn=TrainerFn.FITTING))
    with pytest.raises(ValueError, match="has other texts or labels than the run was trained"):
        other.load_state_dict(saved | {"words": other.state_dict()["words"]})
    relabelled = made(lines)
    labels = relabelled.tables["train"].labels
    labels[0] = (labels[0] + 1) % len(relabelled.class_names)
    relabelled.trainer = other.trainer
    with pytest.raises(ValueError, match="has other texts or labels than the run was trained"):
        relabelled.load_state_dict(saved)
    other.trainer.state.fn = TrainerFn.TESTING
    other.load_state_dict(saved | {"words": other.state_dict()["words"]})


def test_empty_texts_are_skipped_where_that_is_said(tmp_path, capsys):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"a one na\xefve\nb\n\na two\nb three\nb four\n")
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datamodules.sentences.rank_zero_info", said.append)
        data = made(path, on_error="skip", encoding="latin-1", val_size=0, test_size=0)
    assert said == [f"note: {path}: 1 without text left out: line 2"]
    assert [text for _, _, text in data.texts["train"]] == ["one naïve", "two", "three", "four"]
    assert [place for _, place, _ in data.texts["train"]] == [f"line {n}" for n in (1, 4, 5, 6)]


def test_what_is_not_seen_of_long_texts_is_said(tmp_path):
    pairs = [("a", "one two three"), ("b", "one"), ("a", "two")] * 4
    path = write_lines(tmp_path / "texts", pairs)
    with pytest.raises(ValueError, match=r"a class has 4 of 12 rows.*--data\.stratify=false does"):
        made(path)
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datamodules.sentences.rank_zero_info", said.append)
        made(path, max_length=2, stratify=False)
    beginning = "longer than --data.max_length=2: only their beginning is seen"
    assert said == [f"note: {path}: 4 of 12 texts are {beginning}"]


def test_a_text_without_a_class_is_no_target(tmp_path):
    path = tmp_path / "texts.csv"
    rows = [("ab"[n % 2] if n % 5 else "", f"word {n}") for n in range(60)]
    write_csv(path, rows)
    data = made(path, text="review", label="topic")
    assert data.class_names == ["a", "b"]
    labels = torch.cat([data.tables[part].labels for part in ("train", "val", "test")])
    assert is_known(labels).sum() == 48 and len(labels) == 60


def test_without_a_share_for_it_there_is_nothing_to_test_on(tmp_path):
    data = made(write_lines(tmp_path / "texts", sentences(30)), test_size=0)
    for loader in (data.test_dataloader, data.predict_dataloader):
        with pytest.raises(ValueError, match=r"--data\.test_size=0: there are no texts for it"):
            loader()


def test_a_batch_is_as_long_as_its_longest():
    rows = [torch.tensor([3]), torch.tensor([4, 5, 6]), torch.tensor([7, 8])]
    table = PaddedTable(rows, torch.tensor([0, 1, 2]))
    tokens, labels = table.gather(torch.tensor([2, 0]), 0)
    assert tokens.tolist() == [[7, 8], [3, PADDING]] and labels.tolist() == [2, 0]
    assert table.gather(torch.tensor([1]), 0)[0].tolist() == [[4, 5, 6]]


@pytest.fixture
def table():
    lengths = torch.randint(1, 60, (1000,), generator=torch.Generator().manual_seed(0))
    rows = [torch.full((int(length),), number + 1) for number, length in enumerate(lengths)]
    return PaddedTable(rows, torch.arange(1000))


def test_batches_are_of_about_equal_lengths_and_each_text_is_seen_once(table):
    loader = BucketLoader(table, 10, shuffle=True, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        orders.append([labels.tolist() for _, labels in loader])
        assert sorted(row for batch in orders[-1] for row in batch) == list(range(1000))
    assert orders[0] == orders[2] != orders[1]
    lengths = table.lengths
    spread = [int(lengths[batch].max() - lengths[batch].min()) for batch in orders[0]]
    assert sum(spread) / len(spread) < 4, "of 59, where a random batch has about 50"
    first = [int(lengths[batch].max()) for batch in orders[0]]
    assert first != sorted(first), "long and short batches take turns"


def test_two_processes_share_out_what_one_has(table):
    whole = [labels for _, labels in BucketLoader(table, 10, shuffle=True)]
    shares = [
        [labels for _, labels in BucketLoader(table, 5, shuffle=True, rank=r, world_size=2)]
        for r in range(2)
    ]
    for labels, *parts in zip(whole, *shares, strict=True):
        assert [part.tolist() for part in parts] == [labels[0::2].tolist(), labels[1::2].tolist()]


def test_from_a_file_to_predictions_of_new_texts(recipe, lines, tmp_path):
    recipe(
        "classify",
        "fit",
        "--data=Sentences",
        f"--data.path={lines}",
        *SMALL,
        "--trainer.max_epochs=6",
        "--data.batch_size=20",
        "--name=a",
    )
    lines.unlink()  # what was learned is in the checkpoint
    best = "--ckpt_path=runs/classify/a/checkpoints/last.ckpt"
    new = [text for _, text in sentences(30, seed=1)]
    (tmp_path / "new.txt").write_text("\n".join(new) + "\n")
    recipe("classify", "predict", best, f"--data.predict={tmp_path}/new.txt")
    with Path("runs/classify/a/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == new
    right = [
        row["prediction"] == name for row, (name, _) in zip(rows, sentences(30, 1), strict=True)
    ]
    assert sum(right) >= 25
    assert {f"probability_{name}" for name in ("food", "sport", "weather")} < rows[0].keys()


def test_a_student_learns_from_another_kind_of_network(recipe, lines):
    """`distill` on texts, with nothing of its own for them."""
    recipe(
        "distill",
        "fit",
        "--data=Sentences",
        f"--data.path={lines}",
        *SHORT,
        "--model.student=LSTMClassifier",
        "--model.student.units=4",
        "--model.student.width=8",
        "--model.teacher=TransformerClassifier",
        "--model.teacher.width=8",
        "--name=a",
    )
    saved = torch.load("runs/distill/a/checkpoints/last.ckpt", weights_only=True)
    assert saved["state_dict"]["student.embedding.weight"].shape[1] == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", ["TextCNN", pytest.param("LSTMClassifier", marks=pytest.mark.slow)]
)
def test_an_interrupted_run_resumes_from_the_middle_of_an_epoch(
    recipe, monkeypatch, lines, network
):
    flags = (
        "--data=Sentences",
        f"--data.path={lines}",
        f"--model.network={network}",
        "--data.batch_size=16",
        "--trainer.max_epochs=2",
        "--model.network.width=8",
    )
    recipe("classify", "fit", "--name=whole", *flags)
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        interrupt_after(22, patch)
        recipe("classify", "fit", "--name=cut", *flags, *middle_of_epoch("runs/classify/cut"))
    recipe("classify", "fit", "--ckpt_path=runs/classify/cut/checkpoints/middle.ckpt")
    whole, cut = (
        torch.load(f"runs/classify/{name}/checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "cut")
    )
    assert whole["global_step"] == cut["global_step"] == 30
    for key, value in whole["state_dict"].items():
        assert torch.equal(cut["state_dict"][key], value), key


@pytest.mark.slow
def test_two_processes_train_the_network_that_one_does(recipe, lines):
    flags = (
        "--data=Sentences",
        f"--data.path={lines}",
        *SMALL,
        "--model.network.dropout=0",
        "--trainer.max_epochs=2",
    )
    recipe("classify", "fit", "--name=one", *flags, "--data.batch_size=20")
    two = ("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu")
    ended_well(
        *ranks(2, "recipes.classify", "fit", "--name=two", *flags, "--data.batch_size=10", *two)
    )
    one, two = (
        torch.load(f"runs/classify/{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in ("one", "two")
    )
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--data.text=body",), "texts.csv has no column body: it has topic, review"),
        (("--data.text=review", "--data.label=class"), "has no column class"),
        (
            ("--data.text=review", "--data.label=topic", *CONVOLUTIONS),
            "takes images, but the data have texts: such as --model.network=TextCNN",
        ),
        (
            ("--data.text=review", "--data.label=topic", "--model.network.outputs=2"),
            "--model.network.outputs=2: --data=Sentences has 3 classes",
        ),
        (
            (
                "--data.text=review",
                "--data.label=topic",
                "--data.folds=5",
                "--data.test_path=x.csv",
            ),
            "--data.folds=5 excludes --data.test_path=x.csv",
        ),
    ],
)
def test_a_mistake_is_one_line(recipe, monkeypatch, tmp_path, flags, line):
    monkeypatch.delenv("RECIPES_DEBUG")
    table = write_csv(tmp_path / "texts.csv", sentences(60))
    with pytest.raises(SystemExit) as stop:
        recipe("classify", "fit", "--data=Sentences", f"--data.path={table}", *SMALL, *flags)
    said = str(stop.value.code)
    assert said.startswith("error: ") and line in said and "\n" not in said
