"""A hub on this machine that knows one repository, for tests: what it holds, how it misbehaves, what it was asked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "c" * 40
REPOSITORY = "someone/small"


@dataclass
class HubState:
    """What the hub holds at its main branch, and how it behaves."""

    files: dict[str, bytes]
    commit: str = COMMIT
    silent: str | None = None  # requests whose path has this never get an answer
    dead: str | None = None  # requests whose path has this are cut off without one
    refused: tuple[str, int, str | None] | None = None  # answers to paths with this have this status and code
    drop_at: int | None = None  # the first answer with more bytes than this breaks off there
    dead_after_drop: bool = False  # after that, this file is never answered for again
    calls: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def fetched(self) -> set[str]:
        """The names of the files that were asked for."""
        return {path.rpartition("/")[2] for path in self.calls if "/resolve/" in path}


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as a snapshot needs: the listing, the tree, and files with their tags."""

    state: HubState

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.state.calls.append(path)
        if self.state.silent and self.state.silent in path:
            self.state.closing.wait(60)
            return
        if self.state.dead and self.state.dead in path:
            self.close_connection = True
            return
        if self.state.refused and self.state.refused[0] in path:
            self.refuse(*self.state.refused[1:])
        elif not path.startswith((f"/{REPOSITORY}/", f"/api/models/{REPOSITORY}")):
            self.refuse(404, "RepoNotFound")
        elif "/revision/" in path and path.rpartition("/")[2] not in ("main", "v1", self.state.commit):
            self.refuse(404, "RevisionNotFound")
        else:
            self.give(path, body)

    def refuse(self, status: int, code: str | None = None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def give(self, path: str, body: bool) -> None:
        content, begin = self.content(path), 0
        if wanted := self.headers.get("Range"):
            self.state.ranges.append(wanted)
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{self.tag(path.rpartition("/")[2])}"')
        self.send_header("X-Repo-Commit", self.state.commit)
        self.end_headers()
        if body:
            self.write(content[begin:])

    def content(self, path: str) -> bytes:
        files = self.state.files
        if "/tree/" in path:
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": self.tag(name)} for name, data in files.items()
            ]
            return json.dumps(tree).encode()
        if path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in files]
            return json.dumps({"id": REPOSITORY, "sha": self.state.commit, "siblings": siblings}).encode()
        return files[path.rpartition("/")[2]]

    def tag(self, name: str) -> str:
        return f"{name}-{self.state.commit[:1]}"

    def write(self, content: bytes) -> None:
        if self.state.drop_at is not None and len(content) > self.state.drop_at:
            content, self.state.drop_at = content[: self.state.drop_at], None
            self.close_connection = True
            if self.state.dead_after_drop:
                self.state.dead = self.path.rpartition("/")[2]
        with contextlib.suppress(ConnectionError):  # the other side may have been ended
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def running_hub(files: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubState]:
    """Run a hub with these files and let this process use it, with a cache of its own."""
    state = HubState(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneRepository", (Hub,), {"state": state}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    use_hub(monkeypatch, server.server_port, cache)
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(monkeypatch: pytest.MonkeyPatch, port: int, cache: Path) -> None:
    """Let this process and its children take a port of this machine for the hub."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
