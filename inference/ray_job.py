"""Tagging on a cluster, or on all cores of one machine, by Ray Data."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ..labels.errors import WusumError
from .choice import Choice
from .columns import Clean, Columns

if TYPE_CHECKING:
    from .ray_blocks import BlockOptions, WorkerOptions
    from .ray_output import Done, Partition, RayOutput
    from .ray_sources import StoredSource

# Less than a row, which is a block of ours: Ray would gather small ones and give them to one worker.
_ROW_BYTES = 1 << 10
_KNOCK_SECONDS = 5.0
_SLOWEST = 5.0  # seconds for an article, by far: a worker that tags is not to be taken for one that cannot


class RayTally(NamedTuple):
    """What a job on Ray did, runs before included.

    Attributes:
        tagged: count of tagged articles.
        rejected: count of rejected ones; their places and reasons stand in ``OUTPUT/_rejected``.
        never_given: the labels that never had the least precision that was asked for.
    """

    tagged: int
    rejected: int
    never_given: tuple[str, ...] = ()


def tag_with_ray(
    paths: Iterable[str],
    output: str,
    *,
    bundle: str | Path | None = None,
    columns: Columns | None = None,
    clean: Clean = "auto",
    choice: Choice | None = None,
    min_precision: float | None = None,
    workers: int | tuple[int, int] | None = None,
    threads_per_worker: int = 1,
    partition_by: Partition | None = "day",
    date_column: str = "date",
    block_articles: int = 256,
    resume: bool = False,
) -> RayTally:
    """Tag tables (JSON lines, CSV, Parquet, also .gz and .zst) by Ray Data: the tags of ``wusum tag``.

    Files are read in a stream and cut into blocks; workers, each with a tagger of its own, tag a block and write it.
    Ray holds the readers back when the workers lag behind, starts a lost worker anew and repeats its block. A block
    that is written twice is there once. Runs on the cluster that ``ray.init`` connected to, else on that of the
    environment variable ``RAY_ADDRESS``, else on the cores of this machine. Every machine must reach inputs and output
    under the same names. A bundle must lie in the same folder; the embedded one, and one that is named on the hub, are
    found without that.

    Where one of the first 100 articles has a date, the rows go into folders ``date=...``, those without one into
    ``date=__HIVE_DEFAULT_PARTITION__``; a block makes a file in each, so by ``day`` sort the input by date.
    Columns of the output: id (as text) or path, topics, actors, scores, notes. ``OUTPUT/_rejected`` holds, as JSON
    lines, what could not be tagged, with file, line and reason. ``OUTPUT/_SUCCESS`` appears when all is there.

    Args:
        paths: files, folders, patterns, and addresses such as ``s3://bucket/folder``.
        output: a folder or an address, new or empty.
        bundle: as of :meth:`Tagger.load`; the same bundle on every machine, or the job ends.
        columns: names of the columns with text, title and id; these names where None.
        clean: ``always`` drops page furniture from the columns' text too.
        choice: which tags are told; all that are given where None.
        min_precision: as of :meth:`Tagger.require_precision`.
        workers: how many, or the fewest and the most; as many as the cores allow where None.
        threads_per_worker: threads, and reserved cores, of a worker.
        partition_by: how much of the date names a folder; None for one folder.
        date_column: name of the column with the date, ``YYYY-MM-DD`` in front, or a date or time in Parquet.
        block_articles: articles in a block, which is the most that a lost worker loses; a block ends at 32 million
            characters too.
        resume: go on with an unfinished job of the same input and options, else begin.

    Raises:
        WusumError: Ray is not installed, an input is not there, the output exists or takes no more, the store fails
            to the last of its attempts, the job to be resumed is another one, no cluster answers, no worker can be kept
            alive, or nothing goes on for half an hour, or five seconds for each article of a block if that is more.

    Example:
        >>> tag_with_ray(["s3://news/2016/"], "s3://tags/2016", threads_per_worker=2)  # doctest: +SKIP
        RayTally(tagged=120482, rejected=3)
    """
    try:
        import ray.data  # noqa: F401
    except ModuleNotFoundError as fault:
        told = f"--engine ray needs the package {fault.name}; install it: pip install 'wusum[ray]'"
        raise WusumError(told) from fault
    from .bundle_source import load_bundle
    from .ray_blocks import BlockOptions, WorkerOptions, has_dates
    from .ray_bundle import share_bundle
    from .ray_output import RayOutput
    from .ray_sources import find_stored

    columns, choice = columns or Columns(), choice or Choice()
    if block_articles < 1:
        raise WusumError(f"{block_articles} articles in a block; expected one at least; ask for more")
    model = load_bundle(bundle)
    shared = share_bundle(model, bundle)
    choice.check(model.taxonomy)
    never: tuple[str, ...] = ()
    if min_precision is not None:
        _, never = model.with_precision(min_precision)  # refuses here, before any worker starts
    sources = list(find_stored(paths))
    if not sources:
        raise WusumError("no inputs; expected a path or an address; name one")
    options = BlockOptions(columns, clean, date_column, block_articles)
    if partition_by is None or not has_dates(sources[0], options):
        options, partition_by = BlockOptions(columns, clean, None, block_articles), None
    target = RayOutput(output, partition_by)
    identity = {
        "input": _digest(sources),
        "bundle": shared.sha256,
        "min precision": min_precision,
        "threads": threads_per_worker,
        **{f"options.{name}": repr(value) for name, value in vars(options).items()},
        "choice": repr(choice),
    }
    if target.check(identity, resume=resume):
        with _cluster() as cores, _told_in_a_line(target.where):
            pool = _pool(workers, threads_per_worker, cores)
            target.begin(identity)
            each = WorkerOptions(shared, threads_per_worker, min_precision, choice)
            _run(sources, options, target, each, pool)
    done = target.finish(len(sources))
    return RayTally(done.tagged, done.rejected, never)


def _run(
    sources: Sequence[StoredSource],
    options: BlockOptions,
    target: RayOutput,
    each: WorkerOptions,
    pool: tuple[int, int],
) -> None:
    import ray.data

    from .ray_blocks import TagBlocks, read_blocks

    files = _left(sources, target.done())
    if not files:
        return
    context = ray.data.DataContext.get_current().copy()
    context.target_max_block_size = _ROW_BYTES
    context.raise_original_map_exception = True  # else a worker's own sentence is lost on its way here
    if context.execution_no_progress_timeout_s > 0:  # else somebody switched Ray's guard off
        context.execution_no_progress_timeout_s = max(
            context.execution_no_progress_timeout_s, _SLOWEST * options.articles
        )
    with ray.data.DataContext.current(context):
        listed = ray.data.from_items(files, override_num_blocks=len(files))
        blocks = listed.map_batches(
            read_blocks,
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=0,  # readers mostly wait, for the disk or for workers, and must not keep these from a core
            compute=ray.data.TaskPoolStrategy(size=min(len(files), pool[1])),
            fn_kwargs={"options": options},
        )
        tagged = blocks.map_batches(
            TagBlocks,
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=each.threads,
            compute=ray.data.ActorPoolStrategy(min_size=pool[0], max_size=pool[1]),
            fn_constructor_args=(each, target),
        )
        for _ in tagged.iter_batches(batch_size=None, batch_format="pyarrow"):
            pass


def _left(sources: Sequence[StoredSource], done: Done) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "path": source.path,
            "address": source.address,
            "size": source.size,
            "done": sorted(done.blocks[number]),
        }
        for number, source in enumerate(sources)
        if not done.is_complete(number)
    ]


def _digest(sources: Iterable[StoredSource]) -> str:
    seen = hashlib.blake2b(digest_size=16)
    for source in sources:
        told = (source.path, source.size, source.changed)
        seen.update(repr(told).encode("utf-8", "surrogatepass"))
    return seen.hexdigest()


@contextlib.contextmanager
def _cluster() -> Iterator[int]:
    """Give the number of cores of the cluster; one that is started here is ended here."""
    import ray

    if ray.is_initialized():
        yield int(ray.cluster_resources().get("CPU", 0))
        return
    from .engine import available_cores

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of a user's work is told to anybody
    if address := os.environ.get("RAY_ADDRESS"):
        try:
            _knock(address)
            ray.init()
        except (OSError, ValueError) as fault:
            told = "no cluster of Ray answers; expected its HOST:PORT; check it, or unset it to use this machine"
            raise WusumError(f"RAY_ADDRESS: {address}: {told}") from fault
        except RuntimeError as fault:  # of other versions, or of a machine that is none of the cluster's
            said = " ".join(str(fault).split())[:300]
            told = "expected the same Ray and Python on all machines, and this one among them; mend that"
            raise WusumError(f"RAY_ADDRESS: {address}: cannot join ({said}); {told}") from fault
    else:
        ray.init("local", num_cpus=available_cores(), include_dashboard=False)
    try:
        yield int(ray.cluster_resources().get("CPU", 0))
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray would try for minutes. What names no port, Ray tells at once."""
    place = urlsplit(address if "://" in address else f"ray://{address}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), _KNOCK_SECONDS).close()


def _pool(workers: int | tuple[int, int] | None, threads: int, cores: int) -> tuple[int, int]:
    if workers is None:
        workers = (1, max(1, cores // threads))
    fewest, most = (workers, workers) if isinstance(workers, int) else workers
    if threads < 1 or not 1 <= fewest <= most:
        raise WusumError(
            f"{fewest} to {most} workers of {threads} threads; expected one of each at least; ask for more"
        )
    if fewest * threads > cores:
        told = f"{fewest} workers of {threads} threads need {fewest * threads} cores, the cluster has {cores}"
        raise WusumError(f"{told}; expected no more than it has; use fewer workers or threads")
    return fewest, min(most, cores // threads)


@contextlib.contextmanager
def _told_in_a_line(where: str) -> Iterator[None]:
    """Turn Ray's faults, which carry the tracebacks of other machines, into one sentence."""
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.exceptions import OutOfMemoryError, RayActorError, RayError, WorkerCrashedError

    try:
        yield
    except ExecutionTimeoutError as fault:
        told = "nothing went on for too long; expected cores that are free, and articles that kill no worker"
        raise WusumError(f"{where}: {told}; look into Ray's log, then run again with --resume") from fault
    except RayError as fault:
        causes = list(_causes(fault))
        own = next((cause for cause in causes if type(cause).__module__.startswith("wusum.")), None)
        if own is not None:
            raise WusumError(str(own).split("\n")[0]) from fault  # below, Ray tells of its own settings
        if any(isinstance(cause, RayActorError | WorkerCrashedError | OutOfMemoryError) for cause in causes):
            told = "a worker cannot be kept alive; expected the memory to suffice for all of them"
            raise WusumError(f"{where}: {told}; use fewer, then run again with --resume") from fault
        raise


def _causes(fault: BaseException | None) -> Iterator[BaseException]:
    """Yield a fault and what it came from; Ray keeps that of another process in ``cause``."""
    seen: set[int] = set()
    waiting = [fault]
    while waiting:
        current = waiting.pop()
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [current.__cause__, current.__context__, getattr(current, "cause", None)]
