"""Text files as people have them: separators, numbers, encodings, and what is refused."""

import gzip
import random

import numpy as np
import pytest

from datamodules import Tabular
from datamodules.reading.cells import Format
from datamodules.reading.sheets import read_sheet
from datamodules.reading.text import Dialect

ROWS = {"size": [1.5, 1234.5, -2e-7], "city": ["Köln, Süd", "Rom", "Oslo"], "y": [1.0, 2.0, 3.0]}
PLAIN = 'size,city,y\n1.5,"Köln, Süd",1\n1234.5,Rom,2\n-2e-7,Oslo,3\n'


def read(path, **kwargs):
    """The inputs and the target of a file."""
    table = Tabular(str(path), target="y", **kwargs).table
    found = {name: values.tolist() for name, values in table.inputs.items()}
    return found | {"y": table.targets.tolist()}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (PLAIN, {}),
        ("size|city|y\n1.5|Köln, Süd|1\n1234.5|Rom|2\n-2e-7|Oslo|3\n", {}),
        ("size\tcity\ty\n1.5\tKöln, Süd\t1\n1234.5\tRom\t2\n-2e-7\tOslo\t3\n", {}),
        ('"size";"city";"y"\n1,5;Köln, Süd;1\n1234,5;Rom;2\n-2e-7;Oslo;3\n', {"decimal": ","}),
        ('1,5;Köln, Süd;1\n1234,5;Rom;2\n-2e-7;"Oslo";3\n', {"decimal": ",", "header": False}),
        (
            "size;city;y\n1,5;Köln, Süd;1\n1.234,5;Rom;2\n-2e-7;Oslo;3\n",
            {"decimal": ",", "thousands": "."},
        ),
        ('size,city,y\n1.5,"Köln, Süd",1\n"1,234.5",Rom,2\n-2e-7,Oslo,3\n', {"thousands": ","}),
        (
            "# made by hand\nsize~city~y\n1.5~Köln, Süd~1\n\n# more\n1234.5~Rom~2\n-2e-7~Oslo~3",
            {"comment": "#", "separator": "~"},
        ),
        ("size | city|y\r\n 1.5|Köln, Süd |1\r\n1234.5 | Rom | 2 \r\n-2e-7|Oslo|3\r\n", {}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("zipped", [False, True])
def test_one_table_in_every_dialect(tmp_path, text, arguments, encoding, zipped):
    path = tmp_path / ("rows.csv.gz" if zipped else "rows.csv")
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if zipped else content)
    given = {"encoding": encoding} if encoding == "latin-1" else {}
    if arguments.get("header") is False:
        table = Tabular(str(path), **arguments, **given).table
        found = [*(values.tolist() for _, values in table.inputs.items()), table.targets.tolist()]
        assert found == [*ROWS.values()]
    else:
        assert read(path, **arguments, **given) == ROWS


def test_numbers_are_pythons_to_the_last_bit(tmp_path):
    draw = random.Random(0)
    texts = [repr(draw.gauss(0, 10.0 ** draw.randint(-300, 300))) for _ in range(2000)]
    texts += [f"{draw.uniform(-1e6, 1e6):.{draw.randint(0, 25)}f}" for _ in range(2000)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(f"{text},1" for text in texts))
    sheet = read_sheet(path)
    assert sheet.frame([0])[0].tolist() == [float(text) for text in texts]
    path.write_text("\n".join(f"{text.replace('.', ',')};1" for text in texts))
    sheet = read_sheet(path, dialect=Dialect(format=Format(",")))
    assert sheet.frame([0])[0].tolist() == [float(text) for text in texts]


MISSING = "NA na N/A nan NaN NULL null None ? - <NA> #N/A NaT nULL".split()


@pytest.mark.parametrize("word", ["", *MISSING])
def test_words_for_nothing(tmp_path, word):
    path = tmp_path / "rows.csv"
    path.write_text(f"a,b,y\n1,red,1\n{word},{word},2\n3, {word} ,3\n")
    found = read(path, missing="mean")
    assert np.isnan(found["a"][1]) and found["a"][::2] == [1, 3]
    assert found["b"] == ["red", "", ""]
    with pytest.raises(ValueError, match=r"column a, line 3: a value is missing; say --data.miss"):
        read(path)


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("1_000", r"'1_000' is no finite number; --data.decimal=, or"),
        ("1,5", r"'1,5' is no finite number; --data.decimal=, or --data.thousands=, says how"),
        ("$ 5", r"'\$ 5' is no finite number; .*--data.categorical=\[a\] takes"),
        ("31.12.2024", r"'31.12.2024' may be a date; say --data.date_format, such as %d.%m.%Y"),
        ("12/31/2024", r"'12/31/2024' may be a date; .*--data.categorical=\[a\] takes"),
    ],
)
def test_what_may_be_a_number_or_date_is_no_category_in_silence(tmp_path, cell, hint):
    path = tmp_path / "rows.csv"
    path.write_text(f"a;y\n\n{cell};1\n{cell};2\n")
    with pytest.raises(ValueError, match=f"rows.csv, column a, line 3: {hint}"):
        read(path)
    assert read(path, categorical=["a"])["a"] == [cell, cell]


def test_a_number_of_a_new_file_in_another_spelling_says_how_it_is_read(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("a;y\n1;2\n97,8;1\n")
    sheet = read_sheet(path, None, Dialect())
    with pytest.raises(
        ValueError, match=r"line 3: '97,8' is no finite number; --data.decimal=, or"
    ):
        sheet.numbers(0, sheet.frame([0])[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,y\n1,2\nred,3\n",
            r"column a, line 3: 'red' is no finite number; --data.categorical=\[a",
        ),
        ("a,y\n1,2\n\n3\n", r"rows.csv, line 4: 1 columns, not 2"),
        ("a,y\n1,2\n3,4,5\n", r"rows.csv, line 3: 3 columns, not 2"),
        ("a,y\n1,2,3\n3,4,5\n", r"rows.csv, line 2: 3 columns, not 2"),
        ("# mine\na,y\n1,2\n", r"line 2: 2 columns, not 1; --data.comment=# leaves out the first"),
        ("a,y\n1,2\n3,inf\n", r"column y, line 3: 'inf' is no finite number"),
        ('a,y\n1,2\n3,"4\n', r"rows.csv is no text file of a table"),
        ("a,y\n", r"rows.csv has no rows"),
        ("a,y\n1,2\n3,\n", r"column y, line 3: a target is missing; with --data.missing"),
    ],
)
def test_faults_name_the_line(tmp_path, text, message):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_encodings_are_told_or_asked_for(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(PLAIN.encode("latin-1"))
    with pytest.raises(ValueError, match=r"rows.csv is no text file: .*--data.encoding, such as l"):
        read(path)
    with pytest.raises(ValueError, match=r"--data.encoding=latin-99: unknown encoding"):
        read(path, encoding="latin-99")
    path.write_bytes(gzip.compress(PLAIN.encode())[:-9])
    with pytest.raises(ValueError, match=r"rows.csv is no text file of a table"):
        read(path)


def test_grouped_digits_are_groups_of_three(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a;y\n1,000;1\n1,00;2\n")
    with pytest.raises(ValueError, match="line 3: '1,00' is no finite number"):
        read(path, thousands=",")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"separator": "::"}, "--data.separator=::: give one character"),
        ({"comment": ""}, "--data.comment=: give one character"),
        ({"thousands": "."}, "--data.thousands=.: give one character other than --data.decimal=."),
    ],
)
def test_settings_that_no_file_has(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        Tabular(str(tmp_path / "rows.csv"), **arguments)


def test_unnamed_labels_are_left_out_with_a_line(tmp_path, caplog):
    path = tmp_path / "rows.csv"
    path.write_text(",a,y\n1,5,1\n2,6,2\n")
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        assert read(path) == {"a": [5, 6], "y": [1, 2]}
    assert [record.message for record in caplog.records] == [
        f"note: {path}: column 0 only labels the rows: no input"
    ]


def test_words_and_dates_of_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="needs the extra: pip install -e '.[parquet]'")
    frame = pandas.DataFrame(
        {
            "number": [1, None, 3],
            "code": pandas.array([7, None, 8], dtype="Int64"),
            "word": ["red", None, "blue"],
            "kind": pandas.Categorical(["b", "a", "b"]),
            "flag": [True, False, None],
            "day": pandas.to_datetime(["2024-01-02", None, "1970-01-02"]),
            "zone": pandas.to_datetime(["2024-01-02T01:00+01:00"] * 3, utc=False),
            "y": [1, 2, 3],
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    found = read(tmp_path / "rows.parquet", missing="mean", categorical=["code"])
    assert np.isnan(found["number"][1]) and found["number"][2] == 3
    assert found["code"] == ["7", "", "8"] and found["word"] == ["red", "", "blue"]
    assert found["kind"] == ["b", "a", "b"] and found["flag"] == ["True", "False", ""]
    assert found["day.days"][0] == 19724 and found["day.days"][2] == 1
    assert np.isnan(found["day.days"][1]) and found["zone.days"] == [19724] * 3
    frame.assign(y=[[1], [2], [3]]).to_parquet(tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match=r"column y is of list.*leave it out with --data.ignore"):
        read(tmp_path / "lists.parquet", missing="mean")
