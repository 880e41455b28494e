"""Which of a run's kept outputs is the model."""

from __future__ import annotations

import pytest

from mlgate.scorer.candidates import Candidate, find
from mlgate.scorer.errors import Unusable

MLFLOW = ("outputs/model/MLmodel", "outputs/model/model.pkl", "outputs/model/code/a.py")


@pytest.mark.parametrize(
    ("names", "path", "expected"),
    [
        (("outputs/m.onnx", "outputs/a.csv"), None, ("onnx", "outputs", ("m.onnx",), "m.onnx")),
        (("m.SKOPS",), None, ("skops", ".", ("m.SKOPS",), "m.SKOPS")),
        (("a/m.joblib",), None, ("joblib", "a", ("m.joblib",), "m.joblib")),
        (("a/m.pkl",), None, ("pickle", "a", ("m.pkl",), "m.pkl")),
        (
            (*MLFLOW, "outputs/other.pkl"),
            None,
            ("mlflow", "outputs/model", ("MLmodel", "code/a.py", "model.pkl"), "."),
        ),
        (
            ("m/MLmodel", "m/inner/MLmodel"),
            None,
            ("mlflow", "m", ("MLmodel", "inner/MLmodel"), "."),
        ),
        (("MLmodel", "a"), None, ("mlflow", ".", ("MLmodel", "a"), ".")),
        ((*MLFLOW, "b.pkl"), "b.pkl", ("pickle", ".", ("b.pkl",), "b.pkl")),
        (
            (*MLFLOW,),
            "outputs/model/model.pkl",
            ("pickle", "outputs/model", ("model.pkl",), "model.pkl"),
        ),
        (("a/MLmodel", "b/MLmodel"), "./b/", ("mlflow", "b", ("MLmodel",), ".")),
        (("a/MLmodel", "b/MLmodel"), "b/MLmodel", ("mlflow", "b", ("MLmodel",), ".")),
        (
            ("big/w.onnx", "big/w.data", "x.pkl"),
            "big",
            ("onnx", "big", ("w.data", "w.onnx"), "w.onnx"),
        ),
        (("a/deep/m.pkl", "a/n"), "a", ("pickle", "a", ("deep/m.pkl", "n"), "deep/m.pkl")),
        (("a/deep/MLmodel", "a/n"), "a", ("mlflow", "a/deep", ("MLmodel",), ".")),
    ],
)
def test_one_is_found(
    names: tuple[str, ...], path: str | None, expected: tuple[str, str, tuple[str, ...], str]
) -> None:
    assert find(names, path) == Candidate(*expected)


@pytest.mark.parametrize(
    ("names", "path", "said"),
    [
        ((), None, "there are no files"),
        (("outputs/a.csv",), None, "no model is recognised in the kept outputs: outputs/a.csv"),
        (
            ("a.pkl", "b.joblib"),
            None,
            "there are several models in the kept outputs: a.pkl, b.joblib",
        ),
        (("b/MLmodel", "a/MLmodel"), None, "there are several models in the kept outputs: a, b"),
        (("a/x.pkl", "a/y.pkl"), "a", "there are several models in `a`: a/x.pkl, a/y.pkl"),
        (("a/x.txt", "y.pkl"), "a", "no model is recognised in `a`"),
        (("a/model.pkl",), "a/modle.pkl", "Did you mean `a/model.pkl`?"),
        (("a.pkl",), "../a.pkl", "`../a.pkl` is not among the kept outputs: a.pkl."),
        (("a.pkl",), "/a.pkl", "`/a.pkl` is not among"),
        (("a.h5",), "a.h5", "`a.h5` has no known format"),
        (tuple(f"{n:02}.csv" for n in range(12)), None, "09.csv and 2 more"),
    ],
)
def test_none_and_several_are_told(names: tuple[str, ...], path: str | None, said: str) -> None:
    with pytest.raises(Unusable) as raised:
        find(names, path)

    assert said in str(raised.value)


def test_people_call_it_by_its_place() -> None:
    assert find(MLFLOW).name == "outputs/model"
    assert find(["outputs/m.pkl"]).name == "outputs/m.pkl"
    assert find(["MLmodel"]).name == "."
