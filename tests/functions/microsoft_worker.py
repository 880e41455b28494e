"""Microsoft's Python worker code for function apps, driven over pipes instead of gRPC.

A program of its own, for an interpreter that has what the app requires and nothing of ours:

    python -P microsoft_worker.py FOLDER_OF_THE_WORKER_PACKAGES FOLDER_OF_THE_APP

It reads one JSON object a line, `{"id": 1, "load": {...}}` or `{"id": 2, "invoke": {...}}` with the
arguments of those methods, makes of it the request that the host would send, gives that to
`azure_functions_runtime_v1` (the library to which the worker for Python 3.13 hands its requests),
and answers with one line: the id, the status and, after a failure, the exception's message and
stack trace. Invocations run side by side, as they do in a worker.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TextIO


def compiled_protos() -> ModuleType:
    """The messages between host and worker; loaded by path, as the wheel calls them `tests`."""
    found = distribution("azure-functions-runtime-v1").locate_file("tests/protos")
    folder = Path(str(found))
    spec = importlib.util.spec_from_file_location(
        "protos", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["protos"] = module
    spec.loader.exec_module(module)
    return module


class Worker:
    """The four requests of a host, in the order in which it sends them."""

    def __init__(self, app: Path) -> None:
        self._library: Any = importlib.import_module("azure_functions_runtime_v1")
        self._protos: Any = compiled_protos()
        self._app = app

    async def start(self) -> None:
        """Raises AssertionError where a host would give the worker up."""
        threads = importlib.import_module("azure_functions_runtime_v1.utils.threadpool")
        threads.start_threadpool_executor()
        init = self._protos.WorkerInitRequest(
            host_version="4.0", function_app_directory=str(self._app)
        )
        started = await self._ask("worker_init_request", init)
        assert started.result.status == self._protos.StatusResult.Success, started
        # Appended, as Microsoft's workers do: whatever is installed comes before the app.
        sys.path.append(str(self._app))
        request = self._protos.FunctionsMetadataRequest(function_app_directory=str(self._app))
        indexed = await self._ask("functions_metadata_request", request)
        assert indexed.use_default_metadata_indexing, "this app is not one of function.json files"

    async def load(self, name: str, script: str, entry: str, bindings: Any) -> Mapping[str, Any]:
        metadata = self._protos.RpcFunctionMetadata(
            name=name,
            function_id=name,
            directory=str(self._app / name),
            script_file=str(self._app / name / script),
            entry_point=entry,
            bindings={
                each["name"]: self._protos.BindingInfo(
                    type=each["type"],
                    direction=each["direction"],
                    data_type=each.get("dataType", "undefined"),
                )
                for each in bindings
            },
        )
        request = self._protos.FunctionLoadRequest(function_id=name, metadata=metadata)
        return self._told(await self._ask("function_load_request", request))

    async def invoke(
        self, name: str, number: str, binding: str, data: Any, metadata: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        request = self._protos.InvocationRequest(
            invocation_id=number,
            function_id=name,
            input_data=[self._protos.ParameterBinding(name=binding, data=self._typed(data))],
            trigger_metadata={key: self._typed(value) for key, value in metadata.items()},
        )
        return self._told(await self._ask("invocation_request", request))

    async def _ask(self, name: str, request: Any) -> Any:
        message = self._protos.StreamingMessage(**{name: request})
        properties = {"protos": self._protos, "host": "127.0.0.1"}
        asked = SimpleNamespace(name=name, request=message, properties=properties)
        return await getattr(self._library, name)(asked)

    def _typed(self, value: Mapping[str, Any]) -> Any:
        """`{kind: value}` as the host has it; bytes come in base64."""
        [(kind, content)] = value.items()
        if kind == "bytes":
            content = base64.b64decode(content)
        elif kind == "http":
            body = content.pop("body")
            content = self._protos.RpcHttp(**content, body=body and self._typed(body))
        return self._protos.TypedData(**{kind: content})

    def _told(self, response: Any) -> Mapping[str, Any]:
        failed = response.result.exception
        told = {
            "ok": response.result.status == self._protos.StatusResult.Success,
            "message": failed.message,
            "trace": failed.stack_trace,
        }
        returned = getattr(response, "return_value", None)
        if returned is not None and returned.WhichOneof("data") == "http":
            reply = returned.http
            assert reply.body.WhichOneof("data") == "bytes"
            told["returned"] = {
                "status": int(reply.status_code),
                "headers": dict(reply.headers),
                "body": base64.b64encode(reply.body.bytes).decode(),
            }
        return told


async def serve(app: Path, asked: TextIO, answers: TextIO) -> None:
    worker = Worker(app)
    await worker.start()
    under_way = set[asyncio.Task[None]]()

    def tell(request: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        answers.write(json.dumps({"id": request["id"], **told}) + "\n")
        answers.flush()

    async def invoke(request: Mapping[str, Any]) -> None:
        tell(request, await worker.invoke(**request["invoke"]))

    while line := await asyncio.to_thread(asked.readline):
        request = json.loads(line)
        if "load" in request:
            tell(request, await worker.load(**request["load"]))
        else:
            under_way.add(task := asyncio.create_task(invoke(request)))
            task.add_done_callback(under_way.discard)


def main() -> None:
    packages, app = map(Path, sys.argv[1:])
    sys.path.append(str(packages))
    deployed = app / ".python_packages/lib/site-packages"
    if deployed.is_dir():
        sys.path.insert(0, str(deployed))  # as Microsoft's workers do
    os.chdir(app)
    # What the functions print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # What a worker sends to its host to be logged.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(app, sys.stdin, answers))
    answers.flush()
    os._exit(0)  # what a function's SDKs left running is not waited for, nor does a host


if __name__ == "__main__":
    main()
