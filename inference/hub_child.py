"""What asks the hub: a program of its own, so that :mod:`.hub` can end it from outside.

Usage: python hub_child.py JSON, with the fields of :func:`main`. Its last line on standard output is a JSON object with
``folder``, with ``lacks``, or with a fault: ``stage``, ``kinds`` and ``text``. Progress goes to standard error.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(given: dict[str, Any]) -> None:
    """Fetch a snapshot of one commit.

    Args:
        given: the hub's ``endpoint``; ``repository`` and ``revision``; the ``files`` (names or patterns) to fetch;
            those that are ``needed``, without which nothing is fetched; the folder ``cache``; the seconds ``timeout``
            for each answer.
    """
    stage = "listing"
    try:
        from huggingface_hub import HfApi, snapshot_download

        listing = HfApi(given["endpoint"]).model_info(
            given["repository"], revision=given["revision"], timeout=given["timeout"]
        )
        there = {file.rfilename for file in listing.siblings or ()}
        lacking = [name for name in given["needed"] if name not in there]
        if lacking:
            _tell({"lacks": lacking[0]})
            return
        stage = "download"
        folder = snapshot_download(
            given["repository"],
            revision=listing.sha,
            allow_patterns=given["files"],
            cache_dir=given["cache"],
            endpoint=given["endpoint"],
            etag_timeout=given["timeout"],
        )
        _tell({"folder": folder})
    except (Exception, KeyboardInterrupt) as fault:  # one line tells any; the names of its classes say which it is
        text = f"{type(fault).__name__}: {fault}".splitlines()[0]
        _tell({"stage": stage, "kinds": [kind.__name__ for kind in type(fault).__mro__], "text": text})
        sys.exit(1)


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
