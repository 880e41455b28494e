"""Installed packages for tests of imports ahead of kernels.

`SEEMLY` does what imports of well-known libraries do beside making modules. Each of `UNSEEMLY` does
one thing that no import for several kernels may do, with the reason it is refused for.
"""

from __future__ import annotations

from collections.abc import Mapping

SEEMLY: Mapping[str, str] = {
    "seemly/__init__.py": """
import atexit, copyreg, importlib.metadata, logging, os, random, sys, warnings
from os import getcwd, stat
from seemly import part

FOLDER = os.getcwd()
NAME = os.environ.get("SEEMLY_NAME", "none")
CONFIGURED = os.path.exists("seemly.ini")
VERSION = importlib.metadata.version("ipykernel")
openers = {None: open, "part": [open]}
generator = random.Random()
seeded = random.Random(5)
handler = logging.StreamHandler()

class Files:
    stat = staticmethod(os.stat)

class Kind:
    pass

def say(text, stream=sys.stdout):
    print(text, file=stream)

def shown(path, opens=open):
    return opens(path).read()

def bye():
    open("left/library.txt", "w").write(os.getcwd().rpartition("/")[2])

forked = "no"

def fork():
    global forked
    forked = "yes"

os.register_at_fork(after_in_child=fork)
atexit.register(bye)
copyreg.pickle(Kind, lambda kind: (Kind, ()))
warnings.filterwarnings("ignore", message="seemly")
warnings.filterwarnings("ignore", message="least", append=True)
os.environ.setdefault("SEEMLY", "set")
try:
    kernel = hasattr(get_ipython(), "kernel")
except NameError:
    kernel = None
sys.modules["seemly.alias"] = part
""",
    "seemly/part.py": "ENCODING = __import__('sys').stdout.encoding\n",
}

# What a notebook may ask of it.
QUESTIONS: Mapping[str, str] = {
    "its modules": "sorted(vars(seemly))",
    "its folder": "import os\nseemly.FOLDER == os.getcwd()",
    "what it read": "[seemly.NAME, seemly.CONFIGURED, seemly.VERSION, seemly.kernel]",
    "its part": "[seemly.part.ENCODING, seemly.alias is seemly.part]",
    "its functions": (
        "[type(each).__name__ for each in (seemly.getcwd, seemly.stat, seemly.Files.stat,"
        " seemly.openers[None], seemly.openers['part'][0], seemly.shown.__defaults__[0])]"
    ),
    "its stream": "seemly.say('said')\ntype(seemly.say.__defaults__[0]).__name__",
    "its handler": (
        "import logging\nlogging.getLogger('x').addHandler(seemly.handler)\n"
        "logging.getLogger('x').warning('warned')\ntype(seemly.handler.stream).__name__"
    ),
    "its seed": "seemly.seeded.random()",
    "its variable": "import os\nos.environ['SEEMLY']",
    "its filters": "import warnings\nwarnings.warn('seemly')\nwarnings.warn('another')",
    "all filters": "import warnings\n[str(each) for each in warnings.filters]",
    "its pickler": "import copyreg\nseemly.Kind in copyreg.dispatch_table",
    "functions at forks": (
        "import os\nseemly.forked, os.waitstatus_to_exitcode(os.waitpid(os.fork() or os._exit("
        "3 * (seemly.forked == 'yes')), 0)[1])"
    ),
    "importers": "import sys\n[each for each in sys.path_importer_cache if 'mlgate-imp' in each]",
    "functions at exit": "import atexit\natexit._ncallbacks()",
}

UNSEEMLY: Mapping[str, tuple[str, str]] = {
    "fails": ("raise ValueError('no')", "ValueError: no"),
    "is missing": ("import no_such_module", "ModuleNotFoundError"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "prints": ("print('hello')", "standard stream"),
    "prints below": ("import os\nos.write(1, b'x')", "wrote to standard output"),
    "prints errors below": ("import os\nos.write(2, b'x')", "wrote to standard output"),
    "warns": ("import warnings\nwarnings.warn('old', DeprecationWarning)", "standard stream"),
    "asks what its output is": ("import sys\nsys.stdout.isatty()", "standard stream"),
    "asks for the shell": ("import IPython\nIPython.get_ipython()", "notebook's shell"),
    "asks the shell": ("getattr(get_ipython(), 'user_ns', None)", "notebook's shell"),
    "keeps the shell": ("shell = get_ipython()", "keeps"),
    "starts a thread": (
        "import threading as t, time\nt.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "threads",
    ),
    "starts a program": ("import subprocess\nsubprocess.Popen(['sleep', '9'])", "called Popen"),
    "runs a program": ("import subprocess\nsubprocess.run(['true'])", "called Popen"),
    "runs a shell": ("import os\nos.system('true')", "called"),
    "forks": ("import os\nos.fork() or os._exit(0)", "called"),
    "leaves a file open": ("file = open(__file__)", "open files"),
    "reads a variable of the run": ("import os\nos.getenv('MLGATE_RUN_NAME')", "MLGATE_RUN_NAME"),
    "reads a variable of the kernel": (
        "import os\n'JPY_PARENT_PID' in os.environ",
        "JPY_PARENT_PID",
    ),
    "reads a variable as bytes": (
        "import os\nos.environb.get(b'MLGATE_RUN_NAME')",
        "MLGATE_RUN_NAME",
    ),
    "reads all variables": ("import os\ndict(os.environ)", "all variables"),
    "changes a variable": ("import os\nos.environ['PATH'] = '/'", "variables"),
    "removes a variable": ("import os\ndel os.environ['PATH']", "variables"),
    "sets a variable of the process": (
        "import os\nos.putenv('UNSEEN', '1')",
        "variables of the process",
    ),
    "asks for the folder": ("import os\nprint\nlen(os.getcwd())", "working directory"),
    "keeps a path of the folder": ("import os\nPATH = os.path.abspath('x')", "working directory"),
    "lists the folder": ("import os\nos.listdir()", "working directory"),
    "changes the folder": ("import os\nos.chdir('/tmp')", "working directory"),
    "handles a signal": ("import signal\nsignal.signal(signal.SIGUSR1, print)", "signals"),
    "blocks a signal": (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
        "signals",
    ),
    "limits itself": (
        "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))",
        "limits",
    ),
    "sets the umask": ("import os\nos.umask(0o077)", "umask"),
    "sets the locale": ("import locale\nlocale.setlocale(locale.LC_ALL, 'C')", "locale"),
    "hooks exceptions": ("import sys\nsys.excepthook = print", "hooks"),
    "extends the path": ("import sys\nsys.path.append('/nowhere')", "paths"),
    "adds a built-in": ("import builtins\nbuiltins.seen = 1", "builtins"),
    "replaces a built-in": ("import builtins\nbuiltins.print = lambda *_: None", "builtins"),
    "replaces a module": (
        "import sys, types\nsys.modules['json'] = types.ModuleType('json')",
        "modules",
    ),
    "finds first": (
        "import sys\nclass Finder:\n    @staticmethod\n    def find_spec(*_): return None\n"
        "sys.meta_path.insert(0, Finder)",
        "finders",
    ),
    "resets filters": ("import warnings\nwarnings.resetwarnings()", "filters"),
    "sets again how a type is pickled": (
        "import copyreg\ncopyreg.dispatch_table[complex] = print",
        "pickled",
    ),
    "turns collection off": ("import gc\ngc.disable()", "garbage collection"),
    "lets recursion go deeper": ("import sys\nsys.setrecursionlimit(5000)", "interpreter"),
    "seeds": ("import random\nrandom.seed(1)", "seed"),
    "keeps a drawn number": ("import secrets\nNUMBER = secrets.randbits(64)", "random number"),
    "keeps its process": ("import os\nPROCESS = os.getpid()", "id of this process"),
    "keeps its process with an object": (
        "import os\nclass Kept: pass\nkept = Kept()\nkept.process = os.getpid()",
        "id of this process",
    ),
    "draws": ("import random\nrandom.random()", "random numbers"),
    "keeps the time": ("import time\nSTARTED = time.time()", "time"),
    "keeps the time in seconds": ("import time\nSTARTED = float(int(time.time()))", "time"),
    "keeps how long the machine runs": ("import time\nSTARTED = time.monotonic()", "time"),
    "makes a folder": ("import tempfile\ntempfile.mkdtemp()", "to write"),
    "makes a file": ("import tempfile\ntempfile.mkstemp()", "to write"),
    "writes": ("open('/tmp/mlgate-written', 'w').close()", "to write"),
    "replaces a function": ("import textwrap\ntextwrap.dedent = print", "textwrap.dedent"),
    "logs for all": ("import logging\nlogging.root.addHandler(logging.NullHandler())", "logging"),
    "limits all sockets": ("import socket\nsocket.setdefaulttimeout(5)", "sockets"),
    "is not installed": (
        "import sys, types\nmade = types.ModuleType('made')\nmade.__file__ = '/somewhere/made.py'\n"
        "sys.modules['made'] = made",
        "not an installed package",
    ),
    "draws a name": ("import uuid\nNAME = str(uuid.uuid4())", "random numbers"),
    "keeps a function in a closure": (
        "import os\ndef made():\n    inner = os.stat\n    return lambda: inner\nkept = made()",
        "keeps",
    ),
}
