"""Tables that scikit-learn carries, as people have them: with words, dates and holes."""

import numpy as np
import pandas
from sklearn.datasets import load_breast_cancer, load_diabetes, load_linnerud, load_wine

HOLES = 0.1


def diabetes(folder):
    """Regression: 442 patients, with sex as a word, region, day and holes; three visits each."""
    draw, data = np.random.default_rng(0), load_diabetes(scaled=False, as_frame=True)
    table = data.data.assign(sex=data.data.sex.map({1.0: "female", 2.0: "male"}))
    days = pandas.Timestamp("2001-03-04") + pandas.to_timedelta(draw.integers(0, 900, 442), "D")
    table.insert(0, "patient", [f"P{row // 3:03d}" for row in range(len(table))])
    table.insert(3, "day", days.strftime("%Y-%m-%d"))
    table["region"] = draw.choice(["north", "south", "far, west"], len(table), p=[0.5, 0.4, 0.1])
    for column in ("bmi", "s3", "region", "day"):
        table.loc[draw.random(len(table)) < HOLES, column] = None
    return saved(table.assign(progression=data.target), folder / "diabetes.csv")


def wine(folder):
    """Classification: 178 wines of three growers, whose names are words."""
    draw, data = np.random.default_rng(1), load_wine(as_frame=True)
    table = data.data.rename(columns={"od280/od315_of_diluted_wines": "od"})
    table["strong"] = table.pop("alcohol") > 13
    table.loc[draw.random(len(table)) < HOLES, "ash"] = None
    growers = np.array(["Barolo", "Grignolino", "Barbera"])[data.target]
    return saved(table.assign(grower=growers, bottle=range(100, 278)), folder / "wine.csv")


def cancer(folder):
    """Classes that are whole numbers: 569 tumours, as a German spreadsheet saves them."""
    draw, data = np.random.default_rng(2), load_breast_cancer(as_frame=True)
    table = data.data.iloc[:, :12].copy()
    days = pandas.Timestamp("1995-11-01") + pandas.to_timedelta(draw.integers(0, 900, 569), "D")
    table["seen"] = days.strftime("%d.%m.%Y")
    table["clinic"] = draw.choice(["Köln", "Ulm"], len(table))
    for column in ("mean area", "clinic", "seen"):
        table.loc[draw.random(len(table)) < HOLES, column] = None
    path = folder / "cancer.csv"
    table = table.assign(kind=data.target)
    table.to_csv(path, sep=";", decimal=",", encoding="latin-1")  # with the rows' numbers
    return path


def linnerud(folder):
    """Several targets: exercises and measurements of 20 men."""
    data = load_linnerud(as_frame=True)
    return saved(data.data.join(data.target), folder / "linnerud.csv")


def saved(table, path):
    table.to_csv(path, index=False)
    return path
