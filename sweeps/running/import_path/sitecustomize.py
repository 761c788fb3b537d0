"""Runs at the start of every Python process whose PYTHONPATH names this folder: the workers of a
study, Ray's daemons and the report's process.

The project's packages are found in the project's folder, whatever else has their names, and nothing
else of that folder stands before Python's own modules. The user's folder is not on the path: see
`models/user_modules.py`. And agents of Ray's end with their raylet.
"""

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
PACKAGES = ("analysis", "models", "pruning", "sweeps", "trainables")
# Scripts of Ray's that a raylet starts, beside workers.
AGENTS = ("/dashboard/agent.py", "/runtime_env/agent/main.py")
PR_SET_PDEATHSIG, SIGKILL = 1, 9  # of prctl(2)


def end_with_raylet() -> None:
    """Have the kernel end this agent with its raylet. An agent by itself looks for its raylet only
    when it has started; one that is half-started when the raylet is killed would stay for ever."""
    raylet = os.environ.get("RAY_RAYLET_PID")
    if not (raylet and sys.platform == "linux" and any(w.endswith(AGENTS) for w in sys.orig_argv)):
        return
    from ctypes import CDLL

    CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != int(raylet):  # it had gone before
        os._exit(1)


end_with_raylet()

sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != HERE]
sys.path.insert(0, str(PROJECT))
for name in PACKAGES:
    import_module(name)
sys.path.append(sys.path.pop(0))

# This file takes the place of another of its name, which runs now.
other = PathFinder.find_spec("sitecustomize", sys.path)
if other and other.loader:
    other.loader.exec_module(module_from_spec(other))
