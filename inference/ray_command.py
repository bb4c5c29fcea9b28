"""``wusum tag --engine ray``: the options of the command line for a job on Ray."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ..labels.errors import WusumError
from .choice import Choice
from .columns import Columns
from .progress import say
from .ray_job import tag_with_ray
from .rejected import STDIN
from .tag_options import NO_PARTITIONS, RAY_ONLY, tell_never_given

_INTERRUPTED = 130
_LOCAL_ONLY = ("keep_columns", "force", "input_format", "evidence")


def run_on_ray(arguments: Namespace) -> int:
    """Run a parsed ``wusum tag`` on Ray and return its exit code: 0 all tagged, 1 some rejected, 2 nothing tagged.

    Raises:
        WusumError: an option does not go with Ray, or the job fails.
    """
    for name in _LOCAL_ONLY:
        if getattr(arguments, name):
            raise WusumError(
                f"tag: --{name.replace('_', '-')} does not go with --engine ray; expected none; leave it out"
            )
    if arguments.format != "auto":
        raise WusumError("tag: --format tells the form of standard output; --engine ray writes Parquet; leave it out")
    if arguments.output in (None, STDIN):
        raise WusumError("tag: --engine ray writes a folder of Parquet; expected its name or address; add -o")
    try:
        done = tag_with_ray(
            arguments.paths,
            arguments.output,
            bundle=arguments.bundle,
            columns=Columns(arguments.text_column, arguments.title_column, arguments.id_column),
            clean=arguments.clean,
            choice=Choice(arguments.labels, arguments.top, arguments.all_scores),
            min_precision=arguments.min_precision,
            threads_per_worker=arguments.threads or 1,
            resume=arguments.resume,
            **_given(arguments),
        )
    except KeyboardInterrupt:
        say("interrupted; the blocks that are done are safe; the same command with --resume goes on")
        return _INTERRUPTED
    tell_never_given(arguments, done.never_given)
    counts = f"{done.rejected} of {done.rejected + done.tagged} inputs rejected, {done.tagged} tagged"
    where = arguments.output.partition("?")[0].rstrip("/")
    say(f"{counts}; reasons in {where}/_rejected" if done.rejected else counts)
    return 2 if not done.tagged else 1 if done.rejected else 0


def _given(arguments: Namespace) -> dict[str, Any]:
    """Return the options of Ray alone that were given, as ``tag_with_ray`` takes them."""
    given = {name: value for name in RAY_ONLY if (value := getattr(arguments, name)) is not None}
    if given.get("partition_by") == NO_PARTITIONS:
        given["partition_by"] = None
    return given
