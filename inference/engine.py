"""What computes the logits: ONNX Runtime, or another engine behind the same small class."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import Condition
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from ..labels.errors import WusumError
from .features import Features

EngineName = Literal["onnx", "openvino"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
Handle = TypeVar("Handle")
# Of ONNX Runtime's own rewritings: its fused sum and layer normalisation takes longer than the two apart
# (`python -m wusum.training.rewriting_benchmark`).
SLOWER = ("SkipLayerNormFusion",)
_PATIENCE = 30  # seconds that a fork waits for running calls, and a call for a fork


class Engine(Protocol):
    """An opened model. Any number of Python threads may call it at once; it computes without the interpreter lock."""

    threads: int

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return the logits of every label, shape (labels,), in the taxonomy's order."""


def open_engine(name: EngineName, path: Path, threads: int | None = None, workers: int = 1) -> Engine:
    """Open a model.

    Args:
        name: one of ``ENGINES``. Only what it needs is imported.
        path: the ONNX file of a bundle.
        threads: threads to compute one article with; None for all cores that this process may use, shared among the
            workers.
        workers: articles that are computed at once; more may be asked for and wait.

    Raises:
        WusumError: there is no such engine, its package is not installed, or it cannot open the model.

    Example:
        >>> open_engine("onnx", bundle.model_path).logits(features).shape  # doctest: +SKIP
        (34,)
    """
    if threads is not None and threads < 1:
        raise WusumError(f"threads: {threads}, expected 1 or more; leave it out for all cores")
    if workers < 1:
        raise WusumError(f"workers: {workers}, expected 1 or more; leave it out for one")
    threads = threads or max(1, available_cores() // workers)
    if name == "onnx":
        return OnnxEngine(path, threads)
    if name == "openvino":
        from .openvino_engine import OpenVinoEngine

        return OpenVinoEngine(path, threads, workers)
    raise WusumError(f"engine: {name!r}, expected one of {', '.join(ENGINES)}; choose one of them")


class OnnxEngine:
    """Runs the model of a bundle in ONNX Runtime, one article a call: company does not change a result.

    Example:
        >>> OnnxEngine(bundle.model_path).logits(features).shape  # doctest: +SKIP
        (34,)
    """

    def __init__(self, path: Path, threads: int | None = None, disabled: Sequence[str] = SLOWER) -> None:
        """Open the model with ``threads`` threads (all available cores when None), without some rewritings."""
        self.threads = threads or available_cores()
        self._disabled = list(disabled)
        self._session = PerProcess(path, self._open)

    def _open(self, path: Path) -> Any:
        # Official wheels from 1.29 on send what they run to Microsoft, unless this is set before they are loaded.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Sizes differ from article to article; an arena that grows to the largest one would never shrink.
        options.enable_cpu_mem_arena = False
        # Plans of the memory, one for each size, leave holes in it: 20,000 short articles took 300 MB more.
        options.enable_mem_pattern = False
        try:
            return onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=self._disabled
            )
        except Exception as fault:  # onnxruntime's exceptions share no base class but Exception
            message = f"{path}: ONNX Runtime cannot open it ({fault}); copy or train the bundle again"
            raise WusumError(message) from fault

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return the logits of every label, shape (labels,), in the taxonomy's order.

        Raises:
            WusumError: in a forked process, the model's file was removed or changed since its parent opened it.
        """
        feeds = {"input_ids": features.ids, "attention_mask": features.mask}
        with self._session.in_use() as session:
            result: npt.NDArray[np.float32] = session.run(["logits"], feeds)[0]
        return result


class PerProcess(Generic[Handle]):
    """A native handle on a file that a forked process opens anew: threads, and so a handle's workers, are not forked.

    A fork waits for the calls that are running: what one of their workers had locked would stay locked in the child
    for good. (OpenVINO's hung in one of 130.) Two threads that come first at once both open the file, and one handle is
    dropped.

    Example:
        >>> with PerProcess(Path("model.onnx"), onnxruntime.InferenceSession).in_use() as session:  # doctest: +SKIP
        ...     session.run(["logits"], feeds)
    """

    _all: ClassVar[WeakSet[PerProcess[Any]]] = WeakSet()
    _calls: ClassVar[Condition] = Condition()
    _running: ClassVar[int] = 0
    _forks: ClassVar[int] = 0

    def __init__(self, path: Path, opener: Callable[[Path], Handle]) -> None:
        """Open the file."""
        self._path = path.absolute()  # not resolved: the cache of the hub has links to files without a suffix
        self._opener = opener
        with self._call():
            self._held = (os.getpid(), opener(self._path))
        self._seen = self._state()
        self._all.add(self)

    @contextmanager
    def in_use(self) -> Iterator[Handle]:
        """Give the handle of this process for one call.

        Raises:
            WusumError: the file was removed or changed since the parent process opened it.
        """
        with self._call():
            yield self._own()

    @classmethod
    @contextmanager
    def _call(cls) -> Iterator[None]:
        with cls._calls:
            # Not for ever: a signal's handler may tag while its own thread waits to fork.
            cls._calls.wait_for(lambda: cls._forks <= 0, timeout=_PATIENCE)
            PerProcess._running += 1
        try:
            yield
        finally:
            with cls._calls:
                PerProcess._running -= 1
                cls._calls.notify_all()

    def _own(self) -> Handle:
        process, handle = self._held
        if process == os.getpid():
            return handle
        if self._state() != self._seen:
            told = "removed or changed since the parent process opened it, expected the same file"
            raise WusumError(f"{self._path}: {told}; load the Tagger again")
        handle = self._opener(self._path)
        self._held = (os.getpid(), handle)
        return handle

    def _state(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    @classmethod
    def before_fork(cls) -> None:
        """Wait until no call is running, and let none begin."""
        cls._calls.acquire()
        cls._forks += 1
        # Not for ever: a signal's handler may fork within a call of its own thread.
        cls._calls.wait_for(lambda: cls._running <= 0, timeout=_PATIENCE)

    @classmethod
    def in_parent(cls) -> None:
        """Let calls begin again."""
        cls._forks -= 1
        cls._calls.notify_all()
        cls._calls.release()

    @classmethod
    def in_child(cls) -> None:
        """Never free what was inherited: a handle's end waits for its workers, and here they do not exist."""
        cls._calls, cls._running, cls._forks = Condition(), 0, 0
        for one in cls._all:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one._held[1]))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=PerProcess.before_fork, after_in_parent=PerProcess.in_parent, after_in_child=PerProcess.in_child
    )


def available_cores(root: Path = Path("/")) -> int:
    """Return the cores this process may use: its CPU affinity, capped by the quotas of its control groups (v1 and v2).

    Args:
        root: where ``/proc`` and ``/sys`` are found; tests give another one.

    Example:
        >>> available_cores() >= 1
        True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _cpu_groups(root) for quota in _quotas(folder)]
    return max(1, math.floor(min([cores, *quotas])))


def _cpu_groups(root: Path) -> Iterator[Path]:
    """Yield the folders whose quotas bind this process: of its own group and of all above, up to the mount point."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    # "0::/path" is of v2, "4:cpu,cpuacct:/path" of v1.
    own = (line.split(":", 2) for line in groups)
    by_controller = {name: path for _, names, path in own for name in names.split(",")}
    for line in mounts:
        place, _, kind = line.partition(" - ")
        name, _, options = kind.split(" ", 2)
        controller = {"cgroup2": "", "cgroup": "cpu"}.get(name)
        if controller not in by_controller or (controller and controller not in options.split(",")):
            continue
        mounted, at = place.split(" ")[3:5]
        top = root / at.lstrip("/")
        yield top
        # In a container the mount shows a part of the tree, and its group may stand with or without that part's name.
        group = PurePosixPath(by_controller[controller])
        inner = group.relative_to(mounted) if group.is_relative_to(mounted) else group.relative_to("/")
        if ".." not in inner.parts:
            yield from (top.joinpath(*inner.parts[:depth]) for depth in range(1, len(inner.parts) + 1))


def _quotas(folder: Path) -> Iterator[float]:
    """Yield the quotas of one group, in cores: of v2 (``cpu.max``) and of v1 (``cpu.cfs_*_us``)."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
            if quota != "max" and int(quota) > 0:
                yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
