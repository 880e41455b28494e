"""Loads a model, from any of its formats.

`numpy` and `pandas` are used if the model's environment has them; otherwise rows are lists. What
was used is recorded as something the model needs, so an environment without it is refused before it
serves.
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

# MLflow logs to Azure ML with this plugin. Importing MLflow imports it too, and with it half of
# Azure's SDK, but neither models nor servers need it.
_PLUGIN = "azureml.mlflow"
_DTYPES = {  # for other types, such as text, pandas chooses the same dtype as in training
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
}


class Model(Protocol):
    """A loaded model. Its requests are in the form of its signature: see `inputs.arranged`."""

    signature: Signature | None

    def predict(self, content: Content, params: Mapping[str, Any] | None) -> Any:
        """The model's answer, of any type; may raise any exception."""
        ...


def load(path: Path, format_: str) -> Model:
    """Load the model at `path`, in one of the formats of `candidates`; executes the model's code.

    Raises MissingLibrary, Unusable, and any exception of the model.
    """
    return _LOADERS[format_](path)


def answer(model: Model, request: Request) -> Any:
    """The answer as JSON, in the form of its request.

    Raises BadRequest, BadAnswer, and any exception of the model.
    """
    if not _rows(request.content):
        raise BadRequest("the request has no rows: send at least one")
    content = arranged(request.content, model.signature)
    try:
        predicted = model.predict(content, request.params)
    except ValueError as error:
        if message := not_a_number(error, content):
            raise BadRequest(message) from error
        raise
    return answers.wrapped(answers.plain(predicted), request.form)


def _rows(content: Content) -> Any:
    if isinstance(content, Table):
        return content.rows
    return content.by_name if isinstance(content, Tensors) else content.values


class _PyFunc:
    """An MLflow model, by its `python_function` flavor."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded
        logged = loaded.metadata.signature
        self.signature = signatures.of_mlflow(logged.to_dict() if logged else None)

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
    """An object with a `predict` method, as in scikit-learn."""

    def __init__(self, loaded: Any) -> None:
        if not callable(getattr(loaded, "predict", None)):
            kind = f"{type(loaded).__module__}.{type(loaded).__qualname__}"
            raise Unusable(
                f"the model's class {kind} has no predict(): keep one object that can predict, "
                "such as a scikit-learn Pipeline"
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
    """An ONNX graph. Its only output is the answer; several outputs are answered by name."""

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

    def _tensor(self, wanted: Any, values: Sequence[Any]) -> Any:
        dtype = signatures.OF_ONNX.get(wanted.type)
        if dtype is None:
            raise Unusable(
                f"the model's input `{wanted.name}` is a {wanted.type}, which JSON cannot hold"
            )
        return _array(values, dtype)


def _load_mlflow(path: Path) -> Model:
    # MLflow needs numpy and pandas to load models, but mlflow-skinny does not install them.
    sys.modules.setdefault(_PLUGIN, None)  # type: ignore[arg-type] # keeps it from being imported
    pyfunc = library("mlflow.pyfunc", "an MLflow model", "numpy", "pandas")
    return _PyFunc(pyfunc.load_model(str(path)))


def _load_onnx(path: Path) -> Model:
    runtime = library("onnxruntime", "an ONNX model")
    return _Onnx(runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]))


def _load_skops(path: Path) -> Model:
    """Refuse types that skops does not trust, which is what the format is for."""
    skops = library("skops.io", "a skops model")
    with _needing("the model"):
        if unknown := skops.get_untrusted_types(file=str(path)):
            raise Unusable(
                f"the model has types that skops does not trust: {', '.join(sorted(unknown))}. "
                "Remove them, or keep the model as joblib, which allows any type"
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
    """Turn a missing module whose distribution is known into MissingLibrary.

    Any other module may be part of the repository, so its error is passed on.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = error.name or ""
        if "." not in name and distribution_of(name) != name:
            raise MissingLibrary(what, distribution_of(name)) from error
        raise


def _table(table: Table, signature: Signature | None) -> Any:
    """A data frame, or without pandas an array or lists, in the order of the columns."""
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
            dtype = "object"  # otherwise numbers would become text
        return numpy.array(values, dtype="object" if dtype == "str" else dtype)


def _mixed(values: Any) -> bool:
    """Whether nested lists hold anything but numbers and booleans: text, null or objects."""
    if isinstance(values, (list, tuple)):
        return any(map(_mixed, values))
    return not isinstance(values, (int, float))


def _columns(table: Table) -> list[list[Any]]:
    if not table.rows:
        return [[] for _ in table.columns]
    return [list(each) for each in zip(*table.rows)]


@contextlib.contextmanager
def _refused(what: str) -> Iterator[None]:
    """Raise BadRequest for values that numpy or pandas cannot convert: the caller's fault."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(f"{what} cannot be converted: {error}") from None


@contextlib.contextmanager
def _enforced() -> Iterator[None]:
    """Raise BadRequest for values and params that MLflow refuses, as it checks them first."""
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
        raise BadRequest("the model does not accept params: only MLflow models can")


_LOADERS: Mapping[str, Callable[[Path], Model]] = {
    "mlflow": _load_mlflow,
    "onnx": _load_onnx,
    "skops": _load_skops,
    "joblib": _load_joblib,
    "pickle": _load_pickle,
}
