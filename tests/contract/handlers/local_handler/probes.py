"""What a cell can ask of the process it is executed in: code whose output tells a difference.

`CELLS` are asked one after the other in one kernel; what one raises is its answer. `ENDS` leave
work for the end of a kernel, which shows in the folder `left`.
"""

from __future__ import annotations

from collections.abc import Mapping

CELLS: Mapping[str, str] = {
    "all modules": "import sys\nsorted(sys.modules)",
    "what modules hold": (
        "[(n, sorted(a for a, v in vars(m).items() if type(v) is type(sys)))"
        " for n, m in sorted(sys.modules.items()) if n != '__main__']"
    ),
    "a part of a package": "import urllib\nurllib.request.Request('http://x')",
    "another part": "import xml\nxml.etree.ElementTree.fromstring('<a/>')",
    "a third part": "import concurrent\nconcurrent.futures.ThreadPoolExecutor",
    "a fourth part": "import logging\nlogging.handlers.RotatingFileHandler",
    "a fifth part": "import importlib\nimportlib.resources.files",
    "a part once imported": "import xml.dom.minidom\nxml.dom.minidom.parseString('<a/>').toxml()",
    "the standard library": (
        "import importlib, pkgutil, sys\n"
        "skipped = {'antigravity', 'this', 'idlelib', 'test', 'tkinter', 'turtle', 'turtledemo',"
        " 'lib2to3', '__main__', 'curses'}\n"
        "failed = {}\n"
        "for name in sorted(sys.stdlib_module_names - skipped):\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except BaseException as error:\n"
        "        failed[name] = type(error).__name__\n"
        "failed"
    ),
    "what renders notebooks": (
        "import nbclient, nbconvert, nbformat, jinja2, bs4, jsonschema, rpds, markupsafe, mistune\n"
        "[m.__name__ for m in (nbclient, nbconvert, rpds, markupsafe)]"
    ),
    "paths": "import sys\n[sys.path, sys.argv[:1], sys.executable, sys.prefix, sys.base_prefix]",
    "flags": "import sys\n[str(sys.flags), sys.dont_write_bytecode, sys.getrecursionlimit()]",
    "finders": "import sys\n[str(f).partition(' at ')[0] for f in sys.meta_path]",
    "path hooks": "import sys\n[str(f).partition(' at ')[0] for f in sys.path_hooks]",
    "main": "import __main__\nsorted(n for n in vars(__main__) if n.startswith('__'))",
    "names": "sorted(n for n in globals() if not n.startswith('_i'))",
    "directory": "import os\nos.path.basename(os.getcwd())",
    "variables": "import os\nsorted((n, v) for n, v in os.environ.items() if n not in VARYING)",
    "process groups": "import os\n[os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()]",
    "nice": "import os\n[os.nice(0), os.getuid(), os.getgid(), sorted(os.getgroups())]",
    "umask": "import os\nold = os.umask(0o022)\nos.umask(old)\nold",
    "limits": "import resource\n[resource.getrlimit(n) for n in range(10)]",
    "descriptors": (
        "import os\n"
        "[os.readlink(f'/proc/self/fd/{n}').partition(':')[0].rpartition('/')[2] for n in range(3)]"
    ),
    "inheritable descriptors": (
        "import os\n"
        "found = []\n"
        "for name in os.listdir('/proc/self/fd'):\n"
        "    try:\n"
        "        if os.get_inheritable(int(name)):\n"
        "            found.append(int(name))\n"
        "    except OSError:\n"
        "        pass\n"
        "sorted(found)"
    ),
    "signals": (
        "import signal\n"
        "[str(signal.getsignal(n)).partition(' at ')[0] for n in range(1, 65)],"
        " sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    ),
    "signals below Python": (
        "lines = [l.split() for l in open('/proc/self/status')]\n"
        "{l[0]: int(l[1], 16) & 0x7fffffff for l in lines if l[0] in ('SigBlk:', 'SigIgn:')}"
    ),
    "command": "import sys\n[len(sys.orig_argv), sys.orig_argv[1], sys.orig_argv[3:4]]",
    "names of threads": (
        "import threading\nsorted(t.name for t in threading.enumerate()), threading.Thread().name"
    ),
    "loggers": "import logging\nsorted(logging.root.manager.loggerDict)",
    "threads": (
        "import threading\n"
        "sorted(t.name.split(' ')[0].rstrip('-0123456789') for t in threading.enumerate()),"
        " threading.main_thread() is threading.current_thread(), threading.main_thread().name"
    ),
    "streams": (
        "import sys\n"
        "[(s.encoding, s.errors, s.write_through, s.line_buffering)"
        " for s in (sys.__stdout__, sys.__stderr__)],"
        " [type(s).__name__ for s in (sys.stdin, sys.stdout, sys.stderr)]"
    ),
    "encodings": (
        "import locale, sys\n"
        "[sys.getfilesystemencoding(), locale.getlocale(), locale.getpreferredencoding()]"
    ),
    "warnings": "import warnings\nlist(map(str, warnings.filters))",
    "a warning": "import warnings\nwarnings.warn('careful')",
    "a warning of old": "import warnings\nwarnings.warn('old', DeprecationWarning)",
    "logging": (
        "import logging\n"
        "[logging.root.level, len(logging.root.handlers), logging.lastResort is not None],"
        " sorted(logging.root.manager.loggerDict)"
    ),
    "log lines": "import logging\nlogging.warning('once')\nlogging.info('never')",
    "collector": "import gc\n[gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.garbage]",
    "switch interval": "import sys\n[sys.getswitchinterval(), sys.gettrace(), sys.getprofile()]",
    "start method": (
        "import multiprocessing as m\n"
        "[m.get_start_method(), m.process.ORIGINAL_DIR == __import__('os').getcwd(),"
        " m.current_process().name, m.parent_process()]"
    ),
    "spawned processes": (
        "import multiprocessing, helper\n"
        "with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "    print(pool.map(helper.double, range(4)))"
    ),
    "forked processes": (
        "import multiprocessing, helper\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    print(pool.map(helper.double, range(4)))"
    ),
    "a fork server": (
        "import multiprocessing, helper\n"
        "with multiprocessing.get_context('forkserver').Pool(2) as pool:\n"
        "    print(pool.map(helper.double, range(4)))"
    ),
    "an executor": (
        "import concurrent.futures, helper\n"
        "with concurrent.futures.ProcessPoolExecutor(2) as pool:\n"
        "    print(list(pool.map(helper.double, range(4))))"
    ),
    "joblib": (
        "import helper\n"
        "from joblib import Parallel, delayed\n"
        "Parallel(n_jobs=2)(delayed(helper.double)(i) for i in range(4))"
    ),
    "shared memory": (
        "from multiprocessing import shared_memory\n"
        "m = shared_memory.SharedMemory(create=True, size=8)\n"
        "m.buf[0] = 7\nprint(m.buf[0])\nm.close()\nm.unlink()"
    ),
    "an event loop": (
        "import asyncio\nasyncio.get_event_loop().is_running(), await asyncio.sleep(0, 3)"
    ),
    "loop policy": "import asyncio\ntype(asyncio.get_event_loop_policy()).__name__",
    "exit hooks": "import atexit\natexit._ncallbacks() > 0",
    "random state": "import random\nrandom.seed(1)\n[random.random() for _ in range(3)]",
    "temporary files": "import tempfile\ntempfile.tempdir, tempfile.gettempdir()",
    "time zone": "import time\n[time.tzname, time.timezone, time.daylight]",
    "codecs": "'é'.encode('idna'), 'a'.encode('utf-7'), b'QQ=='.decode('ascii')",
    "mime types": "import mimetypes\n[mimetypes.inited, mimetypes.guess_type('a.ipynb')]",
    "data classes": "import copyreg, pickle\nlen(copyreg.dispatch_table), pickle.dumps([1])",
    "XML is registered": "import xml.etree.ElementTree as E\nsorted(E._namespace_map)",
    "signals interrupt": (
        "import signal, time\n"
        "signal.signal(signal.SIGALRM, lambda *_: print('rang'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05)\ntime.sleep(0.2)"
    ),
    "programs": "!echo from a shell; pwd | sed 's:.*/::'",
    "programs of Python": (
        "import subprocess, sys\n"
        "print(subprocess.run([sys.executable, '-c', 'import sys; print(sys.path[0] == \"\")'],"
        " capture_output=True, text=True).stdout)"
    ),
    "extensions": "get_ipython().extension_manager.loaded",
    "magics": "[sorted(m) for m in get_ipython().magics_manager.magics.values()]",
    "profile": "ip = get_ipython()\n[ip.profile, ip.history_manager.hist_file, ip.colors]",
    "a script": "%run ./script.py",
    "sqlite": "import sqlite3\nsqlite3.connect(':memory:').execute('select 1 + 1').fetchall()",
    "numbers": "import numpy as np\nnp.random.seed(0)\nnp.random.rand(2), np.geterr()",
    "an error": "1 / 0",
    "an error of an import": "import no_such_module",
    "an error while shown": (
        "class Bad:\n    def __repr__(self):\n        raise ValueError('no')\nBad()"
    ),
}

ENDS: Mapping[str, str] = {
    "an open file": "plain = open('left/open.txt', 'w')\nplain.write('plain')",
    "an open file of a module": "import keeps_open",
    "an open file in a cycle": (
        "class Node: pass\n"
        "a = Node()\na.me, a.file = a, open('left/cycle.txt', 'wb')\n"
        "a.file.write(b'cyclic')"
    ),
    "a hook": (
        "import atexit, pathlib\n"
        "atexit.register(lambda: pathlib.Path('left/hook.txt').write_text('at the end'))"
    ),
    "a finalizer": (
        "import pathlib, weakref\n"
        "class Watched: pass\n"
        "watched = Watched()\n"
        "weakref.finalize(watched, pathlib.Path('left/final.txt').write_text, 'final')"
    ),
    "a destructor": (
        "class Thing:\n"
        "    def __init__(self): self.file = open('left/del.txt', 'w')\n"
        "    def __del__(self): self.file.write('deleted'); self.file.close()\n"
        "thing = Thing()"
    ),
    "destructors that Python's own classes and objects keep": (
        "import logging, os\n"
        "class Last:\n"
        "    def __init__(self, name):\n"
        "        self.file = os.open(f'left/{name}.txt', os.O_WRONLY | os.O_CREAT)\n"
        "    def __del__(self, write=os.write): write(self.file, b'last')\n"
        "logging.Logger.last = Last('class')\n"
        "handler = logging.NullHandler()\n"
        "handler.last = Last('handler')\n"
        "logging.getLogger('x').addHandler(handler)"
    ),
    "a generator that Python's own class keeps": (
        "import logging, os\n"
        "def going(file, write=os.write):\n"
        "    try:\n        yield\n    finally:\n        write(file, b'finally')\n"
        "logging.Filter.going = going(os.open('left/going.txt', os.O_WRONLY | os.O_CREAT))\n"
        "next(logging.Filter.going)"
    ),
    "a thread": (
        "import pathlib, threading, time\n"
        "def late():\n    time.sleep(0.3)\n    pathlib.Path('left/thread.txt').write_text('late')\n"
        "threading.Thread(target=late).start()"
    ),
    "joblib": (
        "import helper\n"
        "from joblib import Parallel, delayed\n"
        "Parallel(n_jobs=2)(delayed(helper.double)(i) for i in range(4))"
    ),
    "what is printed last": "print('no line end', end='')",
    "an executor": (
        "import concurrent.futures as c, pathlib\n"
        "pool = c.ThreadPoolExecutor(1)\n"
        "pool.submit(pathlib.Path('left/pool.txt').write_text, 'pooled')"
    ),
    "a log file": (
        "import logging, logging.handlers\n"
        "h = logging.handlers.MemoryHandler(100, target=logging.FileHandler('left/log.txt'))\n"
        "logging.getLogger('own').addHandler(h)\nlogging.getLogger('own').error('kept')"
    ),
}

FILES: Mapping[str, bytes] = {
    "nb/helper.py": b"def double(x):\n    return 2 * x\n",
    "nb/script.py": b"import sys\nprint(__name__, sys.argv[0].rpartition('/')[2])\n",
    "nb/keeps_open.py": b"file = open('left/module.txt', 'w')\nfile.write('of a module')\n",
}
