"""Failures whose tracebacks are drawn by a library, or logged by one."""

from __future__ import annotations

from tests.contract.failures.case import CELL, DRAWINGS, SCRIPT, case
from tests.contract.failures.library_cases import FRAME

_DRAWN = (
    case("data", "open('the-table-of-2031.csv')"),
    case(
        "data",
        "try: open('t.csv')\nexcept OSError as e: raise RuntimeError('no table of 2031') from e",
    ),
    case(
        "network",
        "import urllib.request\nurllib.request.urlopen('{refused}/a/rather/long/path/of/a/blob/store/container/table.parquet')",
    ),
    case(
        "network",
        "import requests\nrequests.get('{refused}/a/rather/long/path/of/a/blob/store/container/table.parquet')",
        "requests",
    ),
    case("network", "import httpx\nhttpx.get('{url}/503').raise_for_status()", "httpx"),
    case(
        "code",
        "assert 3 == 4, '3 rows were removed, and the connection was refused for 4 of the others, as expected'",
    ),
    case("code", "import shapes\nshapes.aera()", files={"shapes.py": "def area(): return 1"}),
    case(
        "code",
        "import urllib.request\ntry: urllib.request.urlopen('{refused}')\nexcept OSError: {}['cached']",
    ),
    case("dependency", "import no_such_package"),
    case("environment", "from json import nope"),
    case("out_of_memory", "raise MemoryError"),
    case("environment", "import numpy as np\nnp.float", "numpy"),
    case("code", FRAME + "df['price']", "pandas"),
)
_NEEDED = {
    "rich": "rich",
    "rich with locals": "rich",
    "behind a bar": "",
    "ipython": "IPython",
    "typer": "typer",
}
DRAWN = tuple(
    case(
        each.label,
        each.source,
        *each.needs,
        *filter(None, [_NEEDED[drawn]]),
        files=each.files,
        drawn=drawn,
    )
    for drawn in DRAWINGS
    for each in _DRAWN
)
# Groups, as several draw them.
GROUPS = tuple(
    case(label, source, *filter(None, [_NEEDED[drawn]]), drawn=drawn)
    for drawn in ("rich", "behind a bar", "ipython", "typer")
    for label, source in (
        (
            "data",
            "import asyncio\nasync def read(n): return open(n).read()\nasync def main():\n"
            "  async with asyncio.TaskGroup() as g:\n    g.create_task(read('a.csv')); g.create_task(read('b.csv'))\n"
            "asyncio.run(main())",
        ),
        (
            "network",
            "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\n"
            "except OSError as e: raise ExceptionGroup('both', [e, e])",
        ),
        (
            "code",
            "try: {}['a']\nexcept KeyError as e: raise ExceptionGroup('both', [e, ConnectionError('x')])",
        ),
    )
)
LOGGED = (
    case(
        "code",
        "from loguru import logger\nimport requests\ntry: requests.get('{refused}')\n"
        "except OSError: logger.exception('no table')\nraise SystemExit(1)",
        "loguru",
        "requests",
        places=SCRIPT,
    ),
    case(
        "code",
        "from loguru import logger\nimport requests\n@logger.catch\ndef main(): requests.get('{refused}')\n"
        "main()\nraise SystemExit(1)",
        "loguru",
        "requests",
        places=SCRIPT,
    ),
    case(
        "out_of_memory",
        "from tqdm import tqdm\nbar = tqdm(total=3)\nbar.update()\nraise MemoryError('of the host')",
        "tqdm",
        places=SCRIPT,
    ),
    case(
        "network",
        "from tqdm import tqdm\nimport requests\nfor _ in tqdm(range(3)): requests.get('{refused}')",
        "tqdm",
        "requests",
    ),
    case(
        "data",
        "from rich.progress import track\nfor _ in track(range(3)): open('t.csv')",
        "rich",
        places=SCRIPT,
    ),
    case(
        "code", "import typer\ndef main(rows: int): pass\ntyper.run(main)", "typer", places=SCRIPT
    ),
    case("code", "%timeit nothing", places=CELL),
)

ALL = (*DRAWN, *GROUPS, *LOGGED)
