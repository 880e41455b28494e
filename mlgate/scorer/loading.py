"""The model itself, from any of its formats.

`numpy` and `pandas` are used where the model's environment has them; without, rows are lists. What
was used is among what the model needs, so an environment that lacks it is refused before it serves.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mlgate.scorer import answers, signatures
from mlgate.scorer.errors import BadRequest, MissingLibrary, Unusable
from mlgate.scorer.inputs import arranged, not_a_number
from mlgate.scorer.libraries import distribution_of, has, library
from mlgate.scorer.requests import Array, Content, Request, Table, Tensors
from mlgate.scorer.signatures import Signature
from mlgate.scorer.wording import short

# By it MLflow logs to Azure ML, where runs have it; it is imported with MLflow, and half of Azure's
# SDK with it. No model needs that, nor whoever serves it.
_PLUGIN = "azureml.mlflow"
_DTYPES = {  # of others, text among them, pandas makes what it made of them in training
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
}


class Model(Protocol):
    """A loaded model. It is asked with what its signature tells of: see `inputs.arranged`."""

    signature: Signature | None

    def predict(self, content: Content, params: Mapping[str, Any] | None) -> Any:
        """Whatever it answers; raises whatever it likes."""
        ...


def load(path: Path, format_: str) -> Model:
    """The model at `path`, in one of the formats of `candidates`. It executes the model's code.

    Raises MissingLibrary, Unusable, and whatever the model likes.
    """
    return _LOADERS[format_](path)


def answer(model: Model, request: Request) -> Any:
    """The answer as JSON, in the form of its request.

    Raises BadRequest and BadAnswer, and whatever the model likes.
    """
    if not _rows(request.content):
        raise BadRequest("the request has no rows: send one at least")
    content = arranged(request.content, model.signature)
    try:
        predicted = model.predict(content, request.params)
    except ValueError as error:
        if told := not_a_number(error, content):
            raise BadRequest(told) from error
        raise
    return answers.wrapped(answers.plain(predicted), request.form)


def _rows(content: Content) -> Any:
    if isinstance(content, Table):
        return content.rows
    return content.by_name if isinstance(content, Tensors) else content.values


class _PyFunc:
    """An MLflow model by its flavor for any Python."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded
        told = loaded.metadata.signature
        self.signature = signatures.of_mlflow(told.to_dict() if told else None)

    def predict(self, content: Content, params: Mapping[str, Any] | None) -> Any:
        given = self._given(content)
        with _enforced():
            if params:
                return self._loaded.predict(given, params=params)
            return self._loaded.predict(given)

    def _given(self, content: Content) -> Any:
        tensors = self.signature.tensors if self.signature else ()
        dtypes = {tensor.name: tensor.dtype for tensor in tensors}
        if isinstance(content, Table):
            return _table(content, self.signature)
        if isinstance(content, Tensors):
            return {name: _array(each, dtypes.get(name)) for name, each in content.by_name.items()}
        if not tensors:
            return _array(content.values)
        array = _array(content.values, tensors[0].dtype)
        return array if tensors[0].name is None else {tensors[0].name: array}


class _Estimator:
    """An object that has `predict`, as scikit-learn's have."""

    def __init__(self, loaded: Any) -> None:
        if not callable(getattr(loaded, "predict", None)):
            kind = f"{type(loaded).__module__}.{type(loaded).__qualname__}"
            raise Unusable(
                f"the model is of the class {kind}, which has no predict(): keep one object that "
                "answers, such as a scikit-learn Pipeline"
            )
        self._loaded = loaded
        self.signature = signatures.of_estimator(loaded)

    def predict(self, content: Content, params: Mapping[str, Any] | None) -> Any:
        _no_params(params)
        if isinstance(content, Table):
            return self._loaded.predict(_table(content, self.signature))
        if isinstance(content, Tensors):
            given = {name: _array(each) for name, each in content.by_name.items()}
            return self._loaded.predict(given)
        return self._loaded.predict(_array(content.values))


class _Onnx:
    """An ONNX graph. Its only output is the answer; several are answered by their names."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = session.get_inputs()
        self._outputs = [each.name for each in session.get_outputs()]
        self.signature: Signature | None = signatures.of_onnx(self._inputs, session.get_outputs())

    def predict(self, content: Content, params: Mapping[str, Any] | None) -> Any:
        _no_params(params)
        found = self._session.run(None, self._fed(content))
        return found[0] if len(found) == 1 else dict(zip(self._outputs, found))

    def _fed(self, content: Content) -> dict[str, Any]:
        if isinstance(content, Array):
            return {self._inputs[0].name: self._tensor(self._inputs[0], content.values)}
        if isinstance(content, Tensors):
            return {i.name: self._tensor(i, content.by_name[i.name]) for i in self._inputs}
        columns = dict(zip(content.columns, _columns(content)))
        return {
            i.name: self._tensor(i, [[each] for each in columns[i.name]])
            if len(i.shape) > 1
            else self._tensor(i, columns[i.name])
            for i in self._inputs
        }

    def _tensor(self, told: Any, values: Sequence[Any]) -> Any:
        dtype = signatures.OF_ONNX.get(told.type)
        if dtype is None:
            raise Unusable(f"the model's input `{told.name}` is a {told.type}, which no JSON holds")
        return _array(values, dtype)


def _load_mlflow(path: Path) -> Model:
    # Without numpy and pandas, which mlflow-skinny does not bring, its models cannot be loaded.
    sys.modules.setdefault(_PLUGIN, None)  # type: ignore[arg-type] # so that it cannot be imported
    pyfunc = library("mlflow.pyfunc", "an MLflow model", "numpy", "pandas")
    return _PyFunc(pyfunc.load_model(str(path)))


def _load_onnx(path: Path) -> Model:
    runtime = library("onnxruntime", "an ONNX model")
    return _Onnx(runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]))


def _load_skops(path: Path) -> Model:
    """Types that skops does not trust are refused: the format is for those who want that."""
    skops = library("skops.io", "a skops model")
    with _needing("the model"):
        if unknown := skops.get_untrusted_types(file=str(path)):
            raise Unusable(
                f"the model has types that skops does not trust: {', '.join(sorted(unknown))}. "
                "Leave them out, or keep the model as joblib, which trusts any"
            )
        return _Estimator(skops.load(str(path)))


def _load_joblib(path: Path) -> Model:
    joblib = library("joblib", "a joblib model")
    with _needing("the model"):
        return _Estimator(joblib.load(path))


def _load_pickle(path: Path) -> Model:
    with path.open("rb") as file, _needing("the model"):
        return _Estimator(pickle.load(file))  # noqa: S301 -- a model is code, and treated as such


@contextlib.contextmanager
def _needing(what: str) -> Iterator[None]:
    """A package that the model's objects are of, and that is known by its module's name.

    Any other module may be one of the repository, which whoever knows the repository tells.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = error.name or ""
        if "." not in name and distribution_of(name) != name:
            raise MissingLibrary(what, distribution_of(name)) from error
        raise


def _table(table: Table, signature: Signature | None) -> Any:
    """A data frame; where there is no pandas, an array or lists, in the order of the columns."""
    if not has("pandas"):
        return _array(table.rows)
    pandas = library("pandas", "the model")
    types = {each.name: each.type for each in signature.columns} if signature else {}
    made = {}
    for name, values in zip(table.columns, _columns(table)):
        kind = types.get(name)
        with _refused(f"column `{name}`"):
            if kind == "datetime":
                made[name] = pandas.to_datetime(pandas.Series(values))
            else:
                made[name] = pandas.Series(values, dtype=_DTYPES.get(kind or ""))
    return pandas.DataFrame(made, columns=[*table.columns])


def _array(values: Any, dtype: str | None = None) -> Any:
    if not has("numpy"):
        return values
    numpy = library("numpy", "the model")
    with _refused("the values"):
        if dtype is None and _mixed(values):
            dtype = "object"  # else numbers become texts
        return numpy.array(values, dtype="object" if dtype == "str" else dtype)


def _mixed(values: Any) -> bool:
    """Whether nested lists hold anything but numbers and truth values: text, null or objects."""
    if isinstance(values, (list, tuple)):
        return any(map(_mixed, values))
    return not isinstance(values, (int, float))


def _columns(table: Table) -> list[list[Any]]:
    if not table.rows:
        return [[] for _ in table.columns]
    return [list(each) for each in zip(*table.rows)]


@contextlib.contextmanager
def _refused(what: str) -> Iterator[None]:
    """What numpy and pandas cannot make an array or a column of is the caller's fault."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(f"{what} cannot be taken: {error}") from None


@contextlib.contextmanager
def _enforced() -> Iterator[None]:
    """What MLflow finds wrong with values and params is the caller's fault: it looks first."""
    exceptions = library("mlflow.exceptions", "an MLflow model")
    try:
        yield
    except exceptions.MlflowException as error:
        if getattr(error, "error_code", "") not in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE"):
            raise
        message = str(error.message)  # repeats the values first
        raise BadRequest(short(message.rpartition("Error: ")[2], 500)) from None


def _no_params(params: Mapping[str, Any] | None) -> None:
    if params:
        raise BadRequest("the model takes no params: only an MLflow model can")


_LOADERS: Mapping[str, Callable[[Path], Model]] = {
    "mlflow": _load_mlflow,
    "onnx": _load_onnx,
    "skops": _load_skops,
    "joblib": _load_joblib,
    "pickle": _load_pickle,
}
