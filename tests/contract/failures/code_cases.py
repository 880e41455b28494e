"""Failures that are the code's own, whatever their words are, for which Python alone is needed."""

from __future__ import annotations

from tests.contract.failures.case import CELL, SCRIPT, case

NETWORK_CALL = "import urllib.request\nurllib.request.urlopen('{refused}/table.csv')"
_TRIED = NETWORK_CALL.replace("\n", "\ntry: ")

CODE = (
    case("code", "1 / 0"),
    case("code", "undefined_name"),
    case("code", "{'cost': 1}['price']"),
    case("code", "[1, 2][5]"),
    case("code", "int('12,5')"),
    case("code", "float('Connection refused')"),
    case("code", "None.group()"),
    case("code", "'abc'.decode()"),
    case("code", "len(5)"),
    case("code", "print('x', ende='')"),
    case("code", "sorted([1, 'a'])"),
    case("code", "assert 11 == 12, '11 columns were removed, expected 12'"),
    case("code", "assert 200 == 404, 'status 503 expected, not 200'"),
    case("code", "assert False, 'timed out waiting for the valve'"),
    case("code", "raise ValueError('the layer depth is no longer supported by survey 9')"),
    case("code", "raise KeyError('pump 4 is not installed')"),
    case("code", "raise RuntimeError('3 duplicates were removed, 2 expected')"),
    case("code", "raise RuntimeError('expected status code 200, got 503')"),
    case("code", "raise Exception('the probe is not installed at site 7')"),
    case("code", "raise LookupError('no curve for the year 1890')"),
    case("code", "class DriftError(Exception): pass\nraise DriftError('HTTP 503 of the canary')"),
    case(
        "code", "class Refused(Exception): pass\nraise Refused('Connection refused by the valve')"
    ),
    case(
        "code", "class RateLimitError(Exception): pass\nraise RateLimitError('steps: 9, most: 8')"
    ),
    case("code", "class Gone(Exception): pass\nraise Gone('No such file or directory')"),
    case("code", "raise TimeoutError('the solver did not converge in 50 steps')"),
    case(
        "code",
        "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor as P\n"
        "async def f(): await asyncio.wait_for(asyncio.sleep(9), 0.01)\n"
        "P(1).submit(lambda: asyncio.run(f())).result()",
    ),
    case(
        "code",
        "from concurrent.futures import ThreadPoolExecutor as P\nimport time\n"
        "P(1).submit(time.sleep, 0.3).result(timeout=0.01)",
    ),
    case("code", "import subprocess\nsubprocess.run(['false'], check=True)"),
    case(
        "code",
        "import subprocess\nsubprocess.run(['sh', '-c', 'echo Connection refused; exit 7'],"
        " check=True)",
    ),
    case("code", "import subprocess\nsubprocess.run(['sleep', '5'], timeout=0.05)"),
    case("code", "import json\njson.loads('{\"a\": ')"),
    case("code", "def f(): return f()\nf()"),
    case("code", "import sys\nsys.exit(3)"),
    case("code", "import sys\nsys.exit('the score is too low')"),
    case("code", "b'\\xff\\xfe'.decode('utf-8')"),
    case("code", "next(iter([]))"),
    case("code", "import math\nmath.exp(10000)"),
    case("code", "import sqlite3\nsqlite3.connect(':memory:').execute('select * from nowhere')"),
    case("code", "import pickle\npickle.loads(b'not a pickle')"),
    case("code", "open('/')"),
    case("code", "input('go on?')"),
    case("code", "import queue\nqueue.Queue().get(timeout=0.01)"),
    case("code", "import configparser\nconfigparser.ConfigParser().get('a', 'b')"),
    case("code", "import urllib.request\nurllib.request.urlopen('htp://example.org')"),
    case("code", "import http.client\nhttp.client.HTTPConnection('a b').request('GET', '/')"),
    case("code", "import urllib.request\nurllib.request.urlopen('{url}/400')"),
    case("code", "import socket\ns = socket.socket(); s.close()\ns.send(b'x')"),
    case("code", "def f(x):\n  return x +\n"),
    case("code", "import broken", files={"broken.py": "def f(:\n  pass\n"}),
    # The user's own modules, wherever they lie.
    case("code", "import shapes\nshapes.aera()", files={"shapes.py": "def area(): return 1"}),
    case(
        "code", "from src import feats\nfeats.biuld()", files={"src/feats.py": "def build(): pass"}
    ),
    case("code", "from src.feats import biuld", files={"src/feats.py": "def build(): pass"}),
    case(
        "code",
        "import sys; sys.path.append('lib')\nimport plans\nplans.mkae()",
        files={"lib/plans.py": "def make(): pass"},
    ),
    case(
        "code",
        "import sys; sys.path.insert(0, 'code/py')\nfrom deep import nothing",
        files={"code/py/deep.py": "a = 1"},
    ),
    case("code", "import pkg.absent", files={"pkg/__init__.py": ""}),
    case("code", "import tools.absent", files={"tools/there.py": ""}),
    case(
        "code", "import pkg.part", files={"pkg/__init__.py": "", "pkg/part.py": "from . import no"}
    ),
    case(
        "code",
        "from one import a",
        files={"one.py": "from two import b\na = 1", "two.py": "from one import a\nb = 1"},
    ),
    case(
        "code", "from helpers import fit\nfit(rounds=3)", files={"helpers.py": "def fit(x=1): pass"}
    ),
    case(
        "code",
        "from helpers import Net\nNet(3, 4, 5)",
        files={"helpers.py": "class Net:\n  def __init__(self, a): pass"},
    ),
    case("code", "class Net:\n  def fit(self, x): pass\nNet().fit(1, epochs=3)"),
    case("code", "class Net: pass\nNet().wieghts"),
    case("code", "from helpers import Net\nNet().wieghts", files={"helpers.py": "class Net: pass"}),
    case("code", "(lambda a: a)(1, 2)"),
    case(
        "code",
        "from math_of import area",
        files={"math_of.py": "raise ImportError('no unit is set')"},
    ),
    # The exception that ended the run counts, not one that was handled.
    case("code", _TRIED + "\nexcept OSError: {}['cached']"),
    case(
        "code",
        _TRIED + "\nexcept OSError: pass\nraise RuntimeError('no')",
    ),
    case(
        "code",
        "def cached(): return int('none')\n" + _TRIED + "\nexcept OSError: cached()",
    ),
    case("code", _TRIED + "\nexcept OSError: int('none')"),
    case(
        "code",
        _TRIED + "\nexcept OSError: raise RuntimeError('no table') from None",
    ),
    case("code", _TRIED + "\nexcept OSError: assert 0, 'no table'"),
    case(
        "code",
        "import traceback\n"
        + _TRIED
        + "\nexcept OSError: traceback.print_exc()\nprint('with the cached table')\nexit(1)",
        places=SCRIPT,
    ),
    case(
        "code",
        "import traceback\ndef main():\n  import urllib.request\n  try:"
        " urllib.request.urlopen('{refused}')\n  except OSError: traceback.print_exc()\n  exit(1)\nmain()",
        places=SCRIPT,
    ),
    case(
        "code",
        "import logging\n"
        + _TRIED
        + "\nexcept OSError: logging.exception('no table')\nraise SystemExit(1)",
        places=SCRIPT,
    ),
    case(
        "code",
        "import traceback\ntry: open('a.csv')\nexcept OSError: traceback.print_exc()\n"
        "print('score 0.4')\nraise SystemExit(1)",
        places=SCRIPT,
    ),
    case(
        "code",
        "import traceback\ntry: import no_such_thing\nexcept ImportError: traceback.print_exc()\n"
        "raise SystemExit(4)",
        places=SCRIPT,
    ),
    case(
        "code",
        "import threading, urllib.request\nt = threading.Thread(target=lambda:"
        " urllib.request.urlopen('{refused}'))\nt.start(); t.join()\nraise SystemExit(1)",
        places=SCRIPT,
    ),
    case(
        "code", "import traceback\ntry: open('a.csv')\nexcept OSError: traceback.print_exc()\n1 / 0"
    ),
    case(
        "code",
        "import unittest\nclass T(unittest.TestCase):\n  def test(self): open('a.csv')\n"
        "unittest.main()",
        places=SCRIPT,
    ),
    case("code", command="python -c 'import sys; sys.exit(9)'"),
    case("code", command="echo Connection refused; exit 1"),
    case("code", command="python a.py; false", files={"a.py": "open('x.csv')"}),
    case("code", command="printf 'a\\n' | grep b"),
    case("code", command="cat absent.csv"),
    case("code", "%no_such_magic", places=CELL),
    case("code", "%%no_such_magic\nx", places=CELL),
    case("code", "%%bash\nexit 3", places=CELL),
    case("code", "raise ExceptionGroup('several', [OSError('a'), ValueError('b')])"),
    case(
        "code",
        "class V:\n  def _repr_html_(self): raise ValueError('nothing to show')\nV()",
        places=CELL,
    ),
    # Raised by, or brought along from, somewhere else than the last line of the traceback.
    case(
        "code",
        "from multiprocessing import get_context\nfrom work import f\n"
        "get_context('fork').Pool(1).map(f, [1])",
        files={"work.py": "def f(x): raise ValueError('7 rows were removed')"},
    ),
    case(
        "code",
        "from concurrent.futures import ProcessPoolExecutor as P\nfrom work import f\n"
        "list(P(1).map(f, [1]))",
        files={"work.py": "def f(x): raise RuntimeError('the pump is not installed')"},
    ),
    case(
        "code",
        "def f():\n  try: raise RuntimeError('the pump is not installed')\n  finally: x = 1\nf()",
    ),
    case(
        "code",
        "def f():\n  try: raise RuntimeError('the pump is not installed')\n"
        "  except RuntimeError: raise\nf()",
    ),
    case(
        "code", "def f():\n  yield 1\n  raise RuntimeError('the pump is not installed')\nlist(f())"
    ),
    case(
        "code",
        "async def f(): raise RuntimeError('the pump is not installed')\nawait f()",
        places=CELL,
    ),
    case(
        "code",
        "def fall_back(): raise RuntimeError('no cache')\ntry: open('t.csv')\n"
        "except OSError: fall_back()",
    ),
    case("code", "def load():\n  try: open('t.csv')\n  except OSError: return None\nload().shape"),
    # Derived from, or named like, what is transient.
    case("code", "class FeedDown(ConnectionError): pass\nraise FeedDown('Connection refused')"),
    case("code", "class HTTPError(Exception): pass\nraise HTTPError('status 500 expected')"),
    case(
        "code",
        "class DatabaseError(Exception): pass\nraise DatabaseError('connection error in b7')",
    ),
    case("code", "import os\nr, w = os.pipe(); os.close(r)\nos.write(w, b'x')"),
    case(
        "code",
        "import ssl\nssl.create_default_context().load_cert_chain('a.pem')",
        files={"a.pem": "x"},
    ),
    case("code", command="python a.py || exit 3", files={"a.py": "raise ConnectionResetError"}),
    case(
        "code",
        command="python a.py; echo done; exit 1",
        files={"a.py": "raise ConnectionResetError"},
    ),
)
