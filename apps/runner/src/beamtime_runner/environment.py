"""The machine and the software as found, and how torch is told to give the same bits again."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

from . import __version__
from .refusals import Refused

MEMORY_FRACTION = "BEAMTIME_GPU_MEMORY_FRACTION"

# Dense bfloat16 peak of cards that we know, FLOP/s, from the makers' data sheets ("with sparsity" is twice that).
# The first whose words all stand in the card's name counts, so forms of a card come before it.
PEAK_FLOPS: list[tuple[tuple[str, ...], float]] = [
    (("B200",), 2250e12),
    (("H200",), 989e12),
    (("H100", "PCIe"), 756e12),
    (("H100", "NVL"), 835e12),
    (("H100",), 989e12),
    (("A100",), 312e12),
    (("A10G",), 70e12),
    (("A10",), 125e12),
    (("L40S",), 362e12),
    (("L40",), 181e12),
    (("L4",), 121e12),
]


def describe(device: str = "not loaded", threads: int = 1, processes: int = 1) -> dict[str, Any]:
    return {
        "codeVersion": __version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "tokenizers": version("tokenizers"),
        "device": device,
        "threads": threads,
        "processes": processes,
        "platform": platform.platform(),
    }


def resolve_runtime(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "threads": options.get("threads", 1),
        "device": options.get("device", "auto"),
        "deterministic": options.get("deterministic", True),
        "compile": options.get("compile", False),
    }


def start_torch(runtime: dict[str, Any]) -> Any:
    """Loads torch with these settings and returns the device; `runtime["device"]` becomes what it is."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a run reads its workdir and nothing else
    os.environ.setdefault("TQDM_DISABLE", "1")  # stderr is a log, not a terminal
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(runtime["threads"])
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)
    wanted = runtime["device"]
    if wanted == "cuda" and not torch.cuda.is_available():
        raise Refused("no-device", "runtime.device: there is no CUDA device here", "runtime.device")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    runtime["device"] = wanted
    if wanted == "cuda":
        keep_to_share(torch)
    if runtime["deterministic"]:
        torch.use_deterministic_algorithms(True)
        setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - costs time, and we read no such memory
    torch.backends.cuda.matmul.allow_tf32 = not runtime["deterministic"]
    return torch.device(wanted)


def keep_to_share(torch: Any) -> None:
    """On a GPU that others use too, allocates no more than our part: beyond it torch raises OutOfMemoryError."""
    text = os.environ.get(MEMORY_FRACTION)
    if text is None:
        return
    try:
        fraction = float(text)
    except ValueError:
        fraction = 0.0
    if not 0.0 < fraction <= 1.0:
        raise Refused("bad-environment", f"{MEMORY_FRACTION} is {text!r}, not a number above 0 and up to 1")
    torch.cuda.set_per_process_memory_fraction(fraction)


def keep_freed_memory() -> None:
    """Lets malloc keep what a training step frees, because the next step asks for the same again.

    Otherwise glibc gives each large tensor back to the kernel and faults its pages in anew: a tenth to a quarter
    of the time of a step on a CPU. No bit of a result depends on it. Elsewhere than on glibc nothing happens.
    """
    import ctypes

    mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)


def device_name(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def peak_flops(device: Any) -> float | None:
    return peak_flops_of(device_name(device))


def peak_flops_of(card: str) -> float | None:
    """The card's peak by its name, `NVIDIA H100 80GB HBM3`; None for one that we do not know, and for a CPU."""
    words = card.replace("-", " ").split()
    return next((peak for names, peak in PEAK_FLOPS if all(name in words for name in names)), None)


def peak_memory_bytes() -> int:
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
