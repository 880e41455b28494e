"""What Azure's resource types look like, as Microsoft's own tables say that the compiler reads.

The Bicep compiler is in no package that can be installed here; its tables of types are, within
Microsoft's `@azure/mcp`, whose server answers with the newest version of a type. It is asked as
its users ask it: JSON-RPC, a line a message, over standard input and output.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

_TOOL = "bicepschema_get"


@dataclass(frozen=True)
class ResourceType:
    """`version` is the newest; `body` and `objects` are descriptions as the server gives them."""

    version: str
    body: dict[str, Any]
    objects: dict[str, dict[str, Any]]

    def described(self, name: str) -> dict[str, Any] | None:
        """The object type of that name, or None for anything else (`string`, a union, `any`)."""
        return self.objects.get(name)


class AzureTypes:
    """A running server; a context manager, which ends it."""

    def __init__(self, program: Path, home: Path) -> None:
        self._process = subprocess.Popen(
            [program, "server", "start", "--mode", "all", "--namespace", "bicepschema"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HOME": str(home), "AZURE_MCP_COLLECT_TELEMETRY": "false"},
        )
        self._number = 0
        self._found: dict[str, ResourceType | None] = {}

    def __enter__(self) -> Self:
        client = {"name": "mlgate-tests", "version": "1"}
        self._ask(
            "initialize",
            {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": client},
        )
        self._tell({"method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)  # closes its input, which ends it

    def get(self, name: str) -> ResourceType | None:
        """The type of that name, such as `Microsoft.ServiceBus/namespaces`; None without one."""
        if name not in self._found:
            self._found[name] = self._get(name)
        return self._found[name]

    def _get(self, name: str) -> ResourceType | None:
        called = self._ask("tools/call", {"name": _TOOL, "arguments": {"resource-type": name}})
        answer = json.loads(called["content"][0]["text"])
        if answer["status"] != 200:
            return None
        described = answer["results"]["BicepSchemaResult"]
        [resource] = [each for each in described if each["$type"] == "Resource"]
        objects = {
            each["name"]: each
            for each in described
            if each["$type"] in {"Object", "DiscriminatedObject"}
        }
        return ResourceType(resource["name"].partition("@")[2], resource["bodyType"], objects)

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        self._number += 1
        self._tell({"id": self._number, "method": method, "params": params})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            if answer.get("id") == self._number:
                return answer["result"]
        raise AssertionError("the server of types ended")

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()
