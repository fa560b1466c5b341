"""The table of pruned networks."""

import json

import prune

RUN = {
    "dense": {"errors": 1.5, "weights": 266_610, "bytes": 1_069_000},
    "pruned": {"errors": 1.6, "weights": 21_706},
    "static_int8": {"errors": 1.7, "bytes": 271_400, "packed": 42_400},
}


def test_ours_are_above_the_papers(tmp_path, monkeypatch):
    monkeypatch.setattr(prune, "FILE", tmp_path / "found.json")
    assert len(prune.table()) == 1, "nothing yet"
    worse = RUN | {"pruned": {"errors": 1.8, "weights": 21_706}}
    prune.FILE.write_text(json.dumps({"lenet300": {"0": RUN, "1": worse}, "lenet5": {"0": RUN}}))
    ours = ["LeNet-300-100", "2", "1.50 ± 0.00", "1.70 ± 0.14", "1.70 ± 0.00", "267", "22"]
    paper = ["... the papers'", "", "1.64", "1.59", "1.58", "267", "22", "1070", "", "27"]
    assert prune.table()[1:] == [[*ours, "1069", "271", "42"], paper]
