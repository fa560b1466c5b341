"""Tables of one's own: formats, headers, columns, and what is refused by name."""

import hashlib
import http.server
import sys
import threading
from functools import partial

import pytest
import torch

from datamodules import Tabular
from datamodules.reading.columns import read_columns
from datamodules.reading.sheets import read_text

ROWS = [[1.0, 2.5, -3.0], [4.0, 5.0, 6e-7], [7.0, 8.0, 9.0]]


def written(tmp_path, text, name="rows.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "1,2.5,-3\n4,5,6e-7\n7,8,9\n"),
        ("rows.csv", "a,b,c\n1,2.5,-3\n4,5,6e-7\n7,8,9"),
        ("rows.csv", '\ufeff"a";"b";"c"\r\n1;2.5;-3\r\n4;5;6e-7\r\n\r\n7;8;9\r\n'),
        ("rows.tsv", "a\tb\tc\n1\t2.5\t-3\n4\t5\t6e-7\n7\t8\t9\n"),
        ("rows.txt", "  1 2.5\t-3\n4 5 6e-7 \n\n7 8 9\n\n"),
        ("rows.data", "a b c\n1 2.5 -3\n4 5 6e-7\n7 8 9\n"),
    ],
)
def test_text_files_are_read_with_and_without_a_header(tmp_path, name, text):
    names, values = read_columns(written(tmp_path, text, name), -1)
    assert names == (["a", "b", "c"] if "a" in text else ["0", "1", "2"])
    assert values.tolist() == ROWS and values.dtype == torch.float64


@pytest.mark.parametrize("text", [",0,1,2\n5,6,7,8\n", "0 1 2\n6 7 8\n"])
def test_names_that_are_numbers_are_asked_for(tmp_path, text):
    """They would be a row of data, which no error shows."""
    path = written(tmp_path, text, "rows.csv" if "," in text else "rows.txt")
    with pytest.raises(ValueError, match=r"line 1: .* it counts from 0; say --data.header=true or"):
        read_columns(path, -1, [-2])
    assert read_columns(path, -1, [-2], header=True)[1].tolist() == [[7, 8]]
    assert read_columns(path, -1, [-2], header=False)[1].tolist() == [[1, 2], [7, 8]]


def test_years_are_names_if_that_is_said(tmp_path):
    path = written(tmp_path, "2019,2020,2021\n1,2,3\n")
    names, values = read_columns(path, 2020, header=True)
    assert names == ["2019", "2021", "2020"] and values.tolist() == [[1, 3, 2]]


@pytest.mark.parametrize("target", ["b", 1, -2])
def test_the_target_is_given_by_name_or_place(tmp_path, target):
    path = written(tmp_path, "a,b,c\n1,2.5,-3\n4,5,6e-7\n7,8,9\n")
    names, values = read_columns(path, target)
    assert names == ["a", "c", "b"] and values[:, -1].tolist() == [2.5, 5, 8]
    names, values = read_columns(path, target, ["c"])
    assert names == ["c", "b"] and values[0].tolist() == [-3, 2.5]


@pytest.mark.parametrize("labels", ["012", "123", "583", ["ann", "bob", "eve"]])
def test_what_says_only_which_row_it_is_is_no_input(tmp_path, labels):
    """As pandas and R write it: a first column without a name."""
    lines = [f'"{label}",{row},{row * row}' for row, label in enumerate(labels)]
    path = written(tmp_path, "\n".join(['"",x,y', *lines]))
    for target in ("y", -1):
        names, values = read_columns(path, target)
        assert names == ["x", "y"] and values[2].tolist() == [2, 4]
    assert read_columns(path, "x")[0] == ["y", "x"]
    if labels == "583":
        names, values = read_columns(path, "y", [0, "x"])
        assert names == ["0", "x", "y"] and values[0].tolist() == [5, 0, 0]


@pytest.mark.parametrize("labels", [["1.5", "2", "3"], ["1", "1", "2"], ["1", "x", "2"]])
def test_a_column_without_a_name_that_may_be_measured_is_asked_for(tmp_path, labels):
    lines = [f"{label},{row},{row * row}" for row, label in enumerate(labels)]
    path = written(tmp_path, "\n".join([",x,y", *lines]))
    with pytest.raises(ValueError, match=r"column 0 has no name, .*--data.columns$"):
        read_columns(path, "y")
    assert read_columns(path, "y", ["x"])[0] == ["x", "y"]


def test_an_index_that_was_written_and_read_again_is_no_input(tmp_path):
    path = written(tmp_path, ",Unnamed: 0,x,y\n0,1,2,3\n1,2,4,5\n")
    assert read_columns(path, "y")[0] == ["x", "y"]
    assert read_columns(path, "y", ["Unnamed: 0"])[0] == ["Unnamed: 0", "y"]


@pytest.mark.parametrize("text", ["1,2,3\n4,5,6\n", "a,b,c\n1,2,3\n4,5,6\n"])
def test_every_column_of_other_files_is_an_input(tmp_path, text):
    assert len(read_columns(written(tmp_path, text), -1)[0]) == 3


def test_pythons_numbers_are_names(tmp_path):
    """Months as column names are no row of numbers, and no cell with a mistake is one."""
    path = written(tmp_path, "2021_01,2021_02\n1,2\n3,4\n")
    assert read_columns(path, -1)[0] == ["2021_01", "2021_02"]
    for cell in ("1_000", "\u0661\u0662"):
        with pytest.raises(ValueError, match=f"column a, line 2: '{cell}' is no finite number"):
            read_columns(written(tmp_path, f"a,b\n{cell},2\n"), -1)
    with pytest.raises(ValueError, match=r"--data.target=\u00b2: no such column"):
        read_columns(path, "\u00b2")


def test_columns_that_are_not_used_may_hold_anything(tmp_path):
    path = written(tmp_path, "id,a,y\nx,1,2\n,3,4\n")
    assert read_columns(path, "y", ["a"])[1].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,\n", "rows.csv, column b, line 3: a value is missing"),
        ("a,b\n\n1,2\nNA,2\n", "column a, line 4: a value is missing"),
        ("1,2\nnan,2\n", "column 0, line 2: a value is missing"),
        ("1,2\n,2\n", "column 0, line 2: a value is missing"),
        ("a,b\n1,2\nred,3\n", "column a, line 3: 'red' is no finite number"),
        ("a,b\n1,inf\n", "column b, line 2: 'inf' is no finite number"),
        ("a,b\n1,2,3\n", "line 2: 3 columns, not 2"),
        ("red,1\nblue,2\n", "line 1: neither names nor numbers: 'red', '1'"),
        ("", "rows.csv is empty"),
        ("1\n2\n", "leaves no inputs"),
        ('a,"b\n1,2\n', "rows.csv is no text file"),
    ],
)
def test_what_is_no_number_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_columns(written(tmp_path, text), -1)


def test_binary_files_are_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(ValueError, match=r"rows.csv is no text file"):
        read_columns(path, -1)


@pytest.mark.parametrize(
    ("target", "columns", "message"),
    [
        ("prize", None, "--data.target=prize: no such column; is it price?"),
        ("zzz", None, "--data.target=zzz: no such column; there are 3: size, price, age"),
        (3, None, "--data.target=3: no such column"),
        (-4, None, "--data.target=-4: no such column"),
        ("price", ["size", "aeg"], "--data.columns=aeg: no such column; is it age?"),
        ("price", ["price"], "has the target among them"),
        ("price", [], "leaves no inputs"),
    ],
)
def test_unknown_columns_are_refused(tmp_path, target, columns, message):
    path = written(tmp_path, "size,price,age\n1,2,3\n")
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        read_columns(path, target, columns)


def test_a_name_that_is_there_twice_is_ambiguous(tmp_path):
    path = written(tmp_path, "a,a,y\n1,2,3\n")
    with pytest.raises(ValueError, match=r"--data.columns=a: there are 2"):
        read_columns(path, "y", ["a"])
    assert read_columns(path, "y", [1])[1].tolist() == [[2, 3]]


def test_a_file_becomes_splits(tmp_path):
    lines = [f"{row},{row * row},{row}" for row in range(100)]
    path = written(tmp_path, "\n".join(["x,y,z", *lines]))
    data = Tabular(str(path), target="y", batch_size=16)
    data.prepare_data()
    data.setup("fit")
    assert (data.input_shape, data.feature_names, data.target_name) == ((2,), ["x", "z"], "y")
    assert len(data.train_dataloader()) == 4
    with pytest.raises(FileNotFoundError, match=r"none.csv: no such file"):
        Tabular(str(tmp_path / "none.csv")).setup("fit")


def test_a_url_is_never_read_unchecked(tmp_path):
    text = "a,b\n" + "\n".join(f"{row},{row}" for row in range(50))
    written(tmp_path, text, "some rows.csv")
    sha256 = hashlib.sha256(text.encode()).hexdigest()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/some%20rows.csv?raw=1"
    target = tmp_path / "new"
    with pytest.raises(ValueError, match=r"--data.path=http.*--data.sha256"):
        Tabular(url)
    with pytest.raises(OSError, match="cannot download"):
        Tabular(url, sha256="0" * 64, data_dir=str(target)).prepare_data()
    assert not list(target.glob("*.csv"))
    data = Tabular(url, sha256=sha256.upper(), data_dir=str(target))
    data.prepare_data()
    server.shutdown()
    server.server_close()
    data.prepare_data()
    data.setup("fit")
    assert data.input_shape == (1,) and (target / "some rows.csv").read_text() == text
    local = Tabular(str(target / "some rows.csv"), sha256="0" * 64)
    with pytest.raises(ValueError, match="is not the original"):
        local.setup("fit")


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = written(tmp_path, "", "rows.parquet")
    with pytest.raises(ValueError, match=r"Parquet needs pip install .*\[parquet\]"):
        read_columns(path, -1)


def test_parquet_files(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="needs the extra: pip install -e '.[parquet]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    columns = {"a": [1, 4], "b": [2.5, None], "c": ["x", "y"], "d": [0.1, 0.2]}
    parquet.write_table(arrow.table(columns), path)
    names, values = read_columns(path, "d", ["a"])
    assert names == ["a", "d"] and values.tolist() == [[1, 0.1], [4, 0.2]]
    with pytest.raises(ValueError, match=r"rows.parquet, column b, row 1: a value is missing"):
        read_columns(path, "d", ["a", "b"])
    with pytest.raises(ValueError, match="column c, row 0: 'x' is no finite number"):
        read_columns(path, "d", ["a", "c"])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"rows.parquet is damaged or no Parquet file"):
        read_columns(path, "d")


@pytest.mark.parametrize("index", [None, "id", ["id", "day"], "unnamed"])
def test_the_index_of_pandas_is_no_column(tmp_path, index):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="needs the extra: pip install -e '.[parquet]'")
    frame = pandas.DataFrame({"id": [7, 9, 8], "day": [1, 2, 3], "x": [4, 5, 6], "y": [1, 0, 1]})
    if index == "unnamed":
        frame = frame.iloc[[2, 0, 1]]
    elif index:
        frame = frame.set_index(index)
    frame.to_parquet(tmp_path / "rows.parquet")
    names, values = read_columns(tmp_path / "rows.parquet", -1)
    assert names == [str(name) for name in frame.columns]
    assert values.tolist() == frame.astype(float).to_numpy().tolist()
    if index == "id":
        for given in ({"target": "id"}, {"target": "y", "columns": ["id"]}):
            with pytest.raises(ValueError, match=r"=id: the index of pandas, .*reset_index\(\)"):
                read_columns(tmp_path / "rows.parquet", **given)


def test_a_comma_separated_file_of_another_name_is_named(tmp_path):
    path = tmp_path / "house.data"
    for header in ("", "area of house,price\n"):
        path.write_text(header + "1.5,2\n3,4.5\n")
        with pytest.raises(ValueError, match=r"house\.data is separated by commas.*call it \.csv"):
            read_text(path, None)
