"""Failures of the other kinds for which Python alone is needed."""

from __future__ import annotations

from tests.contract.failures.case import CELL, SCRIPT, case
from tests.contract.failures.code_cases import NETWORK_CALL

DATA = (
    case("data", "open('train.csv')"),
    case("data", "from pathlib import Path\nPath('no/where.txt').read_text()"),
    case("data", "import os\nos.listdir('absent')"),
    case("data", "import shutil\nshutil.copy('a.csv', 'b.csv')"),
    case("data", "import sqlite3\nsqlite3.connect('no/where.db')"),
    case("data", "import gzip\ngzip.open('a.gz').read()"),
    case("data", "import zipfile\nzipfile.ZipFile('a.zip')"),
    case("data", "open('a.txt/b')", files={"a.txt": ""}),
    case("data", "raise FileNotFoundError('no table for 2031')"),
    case(
        "data", "from load import table\ntable()", files={"load.py": "def table(): open('t.csv')"}
    ),
    case("data", "try: open('t.csv')\nexcept OSError as e: raise RuntimeError('no table') from e"),
    case("data", "try: open('t.csv')\nexcept OSError: raise RuntimeError('no table')"),
    case(
        "data",
        "class LoadError(Exception): pass\ntry: open('t.csv')\n"
        "except OSError as e: raise LoadError('no table') from e",
    ),
    case(
        "data",
        "from concurrent.futures import ThreadPoolExecutor as P\nlist(P(1).map(open, ['a.csv']))",
    ),
    case(
        "data",
        "from concurrent.futures import ProcessPoolExecutor as P\nfrom load import table\n"
        "list(P(1).map(table, ['a.csv']))",
        files={"load.py": "def table(p): return open(p).read()"},
    ),
    case("data", "raise ExceptionGroup('two', [FileNotFoundError(2, 'No such file', 'a')])"),
    case("data", "raise ExceptionGroup('two', [ConnectionError('x'), FileNotFoundError('a')])"),
    case("data", "import urllib.request\nurllib.request.urlopen('{url}/404')"),
    case("data", "import urllib.request\nurllib.request.urlopen('{url}/403')"),
    case("data", "import urllib.request\nurllib.request.urlopen('file:///no/such.csv')"),
    case("data", "import ssl\nssl.create_default_context(cafile='no.pem')"),
    case("data", command="python -c 'open(\"t.csv\")'"),
    case("data", command="python train.py | cat", files={"train.py": "open('t.csv')"}),
    case(
        "data", command="set -e; python train.py; echo never", files={"train.py": "open('t.csv')"}
    ),
    case(
        "data",
        command="make -s",
        files={"Makefile": "all:\n\tpython train.py\n", "train.py": "open('t.csv')"},
    ),
    case(
        "data",
        command="python -m pkg",
        files={"pkg/__main__.py": "open('t.csv')", "pkg/__init__.py": ""},
    ),
    case(
        "data",
        "class Noisy:\n  def __del__(self): raise KeyError('closed')\nn = Noisy()\nopen('t.csv')",
        places=SCRIPT,
    ),
    case(
        "data",
        "import atexit, sys\natexit.register(lambda: sys.stderr.write('\\r 40%|####  | 2/5 [00:01<00:01,"
        " 1.5it/s]\\n'))\nopen('t.csv')",
        places=SCRIPT,
    ),
    case(
        "data",
        "import logging\nlogging.basicConfig(level=20)\nlogging.info('epoch 1')\nopen('t.csv')",
        places=SCRIPT,
    ),
)

DEPENDENCY = (
    case("dependency", "import no_such_package"),
    case("dependency", "import no_such.part"),
    case("dependency", "from no_such import thing"),
    case("dependency", "import importlib\nimportlib.import_module('no_such')"),
    case("dependency", "import helper", files={"helper.py": "import no_such"}),
    case(
        "dependency",
        "try: import no_such\nexcept ImportError as e: raise RuntimeError('needs it') from e",
    ),
    case(
        "dependency",
        "try: import no_such\nexcept ImportError: raise ImportError('pip install no-such')",
    ),
    case("dependency", "import importlib.metadata as m\nm.version('no-such')"),
    case("dependency", "import subprocess\nsubprocess.run(['no-such-program', '-x'])"),
    case("dependency", "import subprocess\nsubprocess.check_output('no-such-program', shell=True)"),
    case("dependency", "import ctypes\nctypes.CDLL('libnosuch.so.3')"),
    case("dependency", "%load_ext no_such", places=CELL),
    case("dependency", command="no-such-program --x"),
    case("dependency", command="python -m no_such"),
    case("dependency", command="sh -c no-such-program"),
    case("dependency", command="nice no-such-program"),
    case("dependency", command="sh steps.sh", files={"steps.sh": "echo one\nno-such-program\n"}),
)

ENVIRONMENT = (
    case("environment", "from json import nope"),
    case("environment", "from collections import Mapping"),
    case("environment", "import collections\ncollections.Mapping"),
    case("environment", "import time\ntime.clock()"),
    case("environment", "import inspect\ninspect.getargspec(len)"),
    case("environment", "import asyncio\nasyncio.async_"),
    case("environment", "import json\njson.loads('1', encoding='utf-8')"),
    case("environment", "import pickle\npickle.loads(b'\\x80\\x09.')"),
    case("environment", "import json.nothing"),
    case("environment", "import helper", files={"helper.py": "from fractions import gcd"}),
)

MEMORY = (
    case("out_of_memory", "raise MemoryError"),
    case("out_of_memory", "bytearray(1 << 62)"),
    case("out_of_memory", "[0] * (1 << 60)"),
    case(
        "out_of_memory",
        "try: bytearray(1 << 62)\nexcept MemoryError as e: raise RuntimeError('x') from e",
    ),
    case(
        "out_of_memory",
        "raise RuntimeError('CUDA out of memory. Tried to allocate 6.00 GiB (GPU 0)')",
    ),
    # torch, TensorFlow and JAX are too large to install: their classes, by their modules' names.
    case(
        "out_of_memory",
        "import torch\nraise torch.OutOfMemoryError('CUDA out of memory. Tried')",
        files={"torch/__init__.py": "class OutOfMemoryError(RuntimeError): pass"},
    ),
    case(
        "out_of_memory",
        "from torch.cuda import OutOfMemoryError\nraise OutOfMemoryError('HIP out of memory')",
        files={
            "torch/__init__.py": "",
            "torch/cuda.py": "class OutOfMemoryError(RuntimeError): pass",
        },
    ),
    case(
        "out_of_memory",
        "from tensorflow.errors import ResourceExhaustedError\n"
        "raise ResourceExhaustedError('OOM when allocating tensor with shape[9,9]')",
        files={
            "tensorflow/__init__.py": "",
            "tensorflow/errors.py": "class ResourceExhaustedError(Exception): pass",
        },
    ),
    case(
        "out_of_memory",
        "from jaxlib import XlaRuntimeError\n"
        "raise XlaRuntimeError('RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.')",
        files={"jaxlib/__init__.py": "class XlaRuntimeError(RuntimeError): pass"},
    ),
)

NETWORK = (
    case("network", NETWORK_CALL),
    case("network", "import urllib.request\nurllib.request.urlopen('{url}/503')"),
    case("network", "import urllib.request\nurllib.request.urlopen('{url}/429')"),
    case("network", "import urllib.request\nurllib.request.urlopen('{url}/close')"),
    case("network", "import urllib.request\nurllib.request.urlopen('{url}/cut').read()"),
    case("network", "import urllib.request\nurllib.request.urlopen('{url}/slow', timeout=0.2)"),
    case(
        "network",
        "import urllib.request as r\nr.urlopen('https' + '{url}'[4:] + '/200', timeout=2)",
    ),
    case("network", "import socket\nsocket.create_connection(('127.0.0.1', 9))"),
    case("network", "import socket\ns = socket.socket()\ns.connect(('127.0.0.1', 9))"),
    case(
        "network",
        "import http.client\nhttp.client.HTTPConnection('127.0.0.1', 9).request('GET', '/')",
    ),
    case("network", "import ftplib\nftplib.FTP().connect('127.0.0.1', 9)"),
    case("network", "import smtplib\nsmtplib.SMTP('127.0.0.1', 9)"),
    case(
        "network",
        "from fetch import table\ntable()",
        files={"fetch.py": "import urllib.request as r\ndef table(): r.urlopen('{refused}')"},
    ),
    case(
        "network",
        "import urllib.request as r\ntry: r.urlopen('{refused}')\n"
        "except OSError as e: raise RuntimeError('no table') from e",
    ),
    case(
        "network",
        "import urllib.request as r\ndef f():\n  try: r.urlopen('{refused}')\n"
        "  except OSError: raise RuntimeError('no table')\nf()",
    ),
    case(
        "network",
        "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\n"
        "except OSError as e: raise ExceptionGroup('both', [e, e])",
    ),
    case(
        "network", command="python -c 'import socket; socket.create_connection((\"127.0.0.1\", 9))'"
    ),
    # Libraries that are not installed: their classes and their words.
    case(
        "network",
        "class RateLimitError(Exception): pass\n"
        "raise RateLimitError(\"Error code: 429 - {'error': {'message': 'Rate limit reached'}}\")",
    ),
    case(
        "network",
        "class APIConnectionError(Exception): pass\nraise APIConnectionError('Connection error.')",
    ),
    case(
        "network",
        "class ServiceUnavailable(Exception): pass\n"
        "raise ServiceUnavailable('503 failed to connect to all addresses; last error: UNAVAILABLE')",
    ),
    case(
        "network",
        "class OperationalError(Exception): pass\nraise OperationalError(\"('HYT00', '[HYT00] "
        "[Microsoft][ODBC Driver 17 for SQL Server]Login timeout expired (0)')\")",
    ),
    case(
        "network",
        "class OperationalError(Exception): pass\nraise OperationalError('connection to server at "
        '"127.0.0.1", port 5432 failed: Connection refused\')',
    ),
    case(
        "network",
        "class EndpointConnectionError(Exception): pass\n"
        "raise EndpointConnectionError('Could not connect to the endpoint URL: \"https://b/\"')",
    ),
    case(
        "network",
        "class APITimeoutError(Exception): pass\nraise APITimeoutError('Request timed out.')",
    ),
    case(
        "network",
        "class DatabaseError(Exception): pass\n"
        "raise DatabaseError('ORA-12170: TNS:Connect timeout occurred')",
    ),
    case(
        "network",
        "class _InactiveRpcError(Exception): pass\nraise _InactiveRpcError("
        "'<_InactiveRpcError of RPC that terminated with:\\n\\tstatus = StatusCode.UNAVAILABLE\\n>')",
    ),
    case(
        "network",
        command="python -u a.py 2>&1 | tee log.txt",
        files={
            "a.py": "import socket\nprint('epoch 1')\nsocket.create_connection(('127.0.0.1', 9))"
        },
    ),
)

INVALID = (
    case("invalid", command="python absent.py"),
    case("invalid", command="./absent.sh"),
    case("invalid", command="bash absent.sh"),
    case("invalid", command="chmod 644 a.sh; ./a.sh", files={"a.sh": "echo"}),
    case("invalid", command="chmod 755 a.py; ./a.py", files={"a.py": "#!/opt/none/python\n"}),
    case("invalid", command="chmod 755 a.sh; ./a.sh", files={"a.sh": "#!/bin/bash\r\necho\r\n"}),
    case("invalid", command="chmod 755 a.py; ./a.py", files={"a.py": "#!/usr/bin/env python\r\n"}),
    case("invalid", command="chmod 755 a.py; sh -c ./a.py", files={"a.py": "#!/opt/none/python\n"}),
)

ALL = (*DATA, *DEPENDENCY, *ENVIRONMENT, *MEMORY, *NETWORK, *INVALID)
