"""Answers to what torch asks of the CUDA runtime when it looks for devices and streams: there is
one device, and it is idle.

Torch finds these few functions instead of the real ones because they are loaded before it. So
`load` is called in a process of its own (see `cuda_process`), before anything imports torch.
"""

import ctypes
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ANSWERS = r"""
#define OUT(type, name) type *name
int cudaGetDeviceCount(OUT(int, count)) { *count = 1; return 0; }
int cudaGetDevice(OUT(int, device)) { *device = 0; return 0; }
int cudaSetDevice(int device) { return device != 0; }
int cudaDeviceGetStreamPriorityRange(OUT(int, least), OUT(int, greatest))
    { *least = 0; *greatest = 0; return 0; }
static int capturing = 0;
void pretend_capturing(int is) { capturing = is; }
int cudaStreamIsCapturing(void *stream, OUT(int, status)) { *status = capturing; return 0; }
int cudaGetLastError(void) { return 0; }
int cudaPeekAtLastError(void) { return 0; }
int cuDevicePrimaryCtxGetState(int device, OUT(unsigned, flags), OUT(int, active))
    { *flags = 0; *active = 1; return 0; }
"""
# The library, on `sys`: once in a process, whatever name this file has in it.
_MARK = "_pretended_cuda_runtime"


def why_unavailable() -> str:
    """Why no process of this machine can pretend to have a GPU; empty where one can."""
    if not sys.platform.startswith("linux"):
        return "a pretended GPU needs Linux"
    if not shutil.which("cc"):
        return "a pretended GPU needs the C compiler cc"
    import torch

    if not torch.version.cuda:
        return "a pretended GPU needs a torch that is built with CUDA"
    return "there is a real GPU here" if torch.cuda.is_available() else ""


def is_loaded() -> bool:
    """Whether this process has the answers."""
    return hasattr(sys, _MARK)


def load() -> None:
    """Compile the answers and put them before the libraries that are loaded later.

    Raises:
        RuntimeError: torch is imported already, and has asked others.
    """
    if is_loaded():
        return
    if "torch" in sys.modules:
        raise RuntimeError("the answers of the CUDA runtime must be loaded before torch")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "answers.c"), Path(folder, "answers.so")
        source.write_text(ANSWERS)
        # The name by which torch asks for the driver: it then gets this library.
        flags = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
        subprocess.run(["cc", *flags, "-o", str(library), str(source)], check=True)
        setattr(sys, _MARK, ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL))


def set_capturing(is_capturing: bool) -> None:
    """Whether torch is told that a CUDA graph is being captured."""
    getattr(sys, _MARK).pretend_capturing(int(is_capturing))
