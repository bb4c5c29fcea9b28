"""Jobs and their cluster: where it is looked for, how far readers may run ahead, how workers find the model."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray")
pa = pytest.importorskip("pyarrow")

import pyarrow.parquet as pq  # noqa: E402

from wusum import inference  # noqa: E402
from wusum.inference import ray_blocks, ray_bundle, ray_output  # noqa: E402
from wusum.inference.bundle import SERVING_FILES  # noqa: E402
from wusum.inference.bundle_source import load_bundle  # noqa: E402
from wusum.inference.choice import Choice  # noqa: E402
from wusum.inference.columns import Columns  # noqa: E402
from wusum.inference.manifest import MANIFEST  # noqa: E402
from wusum.inference.ray_blocks import BlockOptions, TagBlocks, WorkerOptions, read_blocks  # noqa: E402
from wusum.inference.ray_bundle import SharedBundle, share_bundle  # noqa: E402
from wusum.inference.ray_job import RayTally, tag_with_ray  # noqa: E402
from wusum.inference.ray_output import RayOutput  # noqa: E402
from wusum.inference.tagger import Tagger  # noqa: E402
from wusum.labels.errors import WusumError  # noqa: E402

from ..fake_hub import COMMIT, REPOSITORY, HubState, running_hub  # noqa: E402
from .tag_runs import Capture, refused  # noqa: E402

_STORE_BYTES = 80 << 20  # Ray's least is 75 MB
_STORE = {"object_store_memory": _STORE_BYTES}
_QUIET_SECONDS, _HANG_SECONDS = 3.0, 600.0


@pytest.fixture(scope="module")
def spilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster of one core with a small object store; where it puts what does not fit."""
    folder = tmp_path_factory.mktemp("spilled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init(
            "local",
            num_cpus=1,
            include_dashboard=False,
            object_spilling_directory=str(folder),
            **_STORE,
        )
        yield folder
        ray.shutdown()


@pytest.fixture
def table(tmp_path: Path, samples: list[dict[str, Any]]) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in samples), encoding="utf-8")
    return path


def test_a_lost_machine_costs_nothing_and_doubles_nothing(
    tiny_bundle: Path, samples: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command joins a cluster by RAY_ADDRESS: a head and two machines, played by nodes of Ray on this one."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(inference.__file__).parents[2]))
    words = " ".join(row["text"] for row in samples).split()
    rows = [{"id": str(at), "text": " ".join(words[at * 7 % 900 : at * 7 % 900 + 120])} for at in range(600)]
    for part in range(4):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows[part::4]]
        (tmp_path / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")
    output, code = tmp_path / "tags", "from wusum.inference.cli import main; raise SystemExit(main())"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False} | _STORE)
    try:
        lost, _ = (cluster.add_node(num_cpus=1, **_STORE) for _ in range(2))
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        options = ["--bundle", tiny_bundle, "-o", output, "--engine", "ray", "--block-articles", "5"]
        job = subprocess.Popen([sys.executable, "-c", code, "tag", tmp_path, *options], stderr=subprocess.DEVNULL)
        while job.poll() is None and len(list(output.glob("_done/*"))) < 15:
            time.sleep(0.05)
        cluster.remove_node(lost, allow_graceful=False)
        before = len(list(output.glob("_done/*")))
        assert job.wait(_HANG_SECONDS) == 0
    finally:
        cluster.shutdown()
    assert before < 100, "lost too late: 120 blocks are all"
    found = pq.read_table(output).to_pylist()
    given = Tagger.load(tiny_bundle, threads=1).predict([{"text": row["text"]} for row in rows])
    expected = {row["id"]: (tags.topics, tags.actors) for row, tags in zip(rows, given, strict=True)}
    assert len(found) == len(rows)
    assert {row["id"]: (tuple(row["topics"]), tuple(row["actors"])) for row in found} == expected


def test_readers_wait_for_the_workers(
    spilled: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, each = 50, "خبر عاجل من دمشق عن المعارك. " * 72_000  # two articles, 3.7 MB: 185 MB in all
    articles = tmp_path / "a.jsonl.gz"
    with gzip.open(articles, "wt", compresslevel=1, encoding="utf-8") as file:
        for number in range(2 * blocks):
            text = each[: len(each) // 2]
            file.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
    seen, ahead = tmp_path / "seen", tmp_path / "ahead"
    seen.mkdir()

    def counted(*arguments: Any, **named: Any) -> Iterator[Any]:
        for block in read_blocks(*arguments, **named):
            (seen / block["name"][0].as_py()).touch()
            yield block

    class Waiting(ray_output.RayOutput):  # within a function, so that workers get it by value
        def commit(self, name: str, *values: Any, **named: Any) -> None:
            """Hold the first block until the readers have come to rest."""
            before, now = -1, len(list(seen.iterdir()))
            while name.endswith("-000000") and before < now:
                time.sleep(_QUIET_SECONDS)
                before, now = now, len(list(seen.iterdir()))
                ahead.write_text(str(now))
            super().commit(name, *values, **named)

    monkeypatch.setattr(ray_blocks, "read_blocks", counted)
    monkeypatch.setattr(ray_output, "RayOutput", Waiting)
    done = tag_with_ray([str(articles)], str(tmp_path / "tags"), bundle=tiny_bundle, workers=1, block_articles=2)
    assert done == RayTally(2 * blocks, 0)
    assert len(list(seen.iterdir())) == blocks
    # Readers that nobody holds back come to rest at the end of the input, more than twice what the store takes.
    assert 2 <= int(ahead.read_text()) < _STORE_BYTES / len(each.encode())
    assert not [path for path in spilled.rglob("*") if path.is_file()]


@pytest.fixture
def hub(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubState]:
    """A hub that knows the tiny bundle, and a cache that holds nothing yet."""
    files = {path.name: path.read_bytes() for path in tiny_bundle.iterdir() if path.is_file()}
    with running_hub(files, tmp_path / "cache", monkeypatch) as state:
        yield state


def test_workers_that_see_the_cache_load_a_named_bundle_from_it(
    spilled: Path, hub: HubState, table: Path, samples: list[dict[str, Any]], tmp_path: Path
) -> None:
    named = f"{REPOSITORY}@v1"  # the workers of the cluster know nothing of this hub
    assert tag_with_ray([str(table)], str(tmp_path / "tags"), bundle=named) == RayTally(len(samples), 0)
    assert hub.fetched >= {MANIFEST, *SERVING_FILES}
    told = json.loads((tmp_path / "tags" / "_job.json").read_text("utf-8"))
    assert told["bundle"] == share_bundle(load_bundle(named), named).sha256


def test_a_worker_that_does_not_fetches_the_same_commit(
    hub: HubState, table: Path, samples: list[dict[str, Any]], tmp_path: Path
) -> None:
    named = f"{REPOSITORY}@v1"
    shared = share_bundle(load_bundle(named), named)
    assert shared.otherwise == f"{REPOSITORY}@{COMMIT}"
    shutil.rmtree(tmp_path / "cache")
    hub.calls.clear()
    file = {"number": 0, "path": str(table), "address": str(table), "size": table.stat().st_size, "done": []}
    worker = TagBlocks(WorkerOptions(shared, 1, None, Choice()), RayOutput(str(tmp_path / "tags"), None))
    for block in read_blocks(pa.Table.from_pylist([file]), BlockOptions(Columns(), "auto", None, 256)):
        worker(block)
    assert len(pq.read_table(tmp_path / "tags")) == len(samples)
    assert hub.fetched >= {MANIFEST, *SERVING_FILES}
    assert not any("v1" in call for call in hub.calls)


def test_the_embedded_bundle_is_that_of_the_workers_own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(ray_bundle, "load_bundle", lambda given: loaded.append(given) or load_bundle(given))
    shared = share_bundle(load_bundle(None), None)
    shared.load()
    SharedBundle(Path("elsewhere"), shared.otherwise, shared.sha256).load()
    assert loaded == [shared.folder, None]


def test_another_bundle_on_a_worker_ends_the_job_in_one_sentence(
    spilled: Path, tiny_bundle: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_bundle, "share_bundle", lambda *_: SharedBundle(tiny_bundle, tiny_bundle, "of another"))
    told = r"another bundle than on the machine that began the job; expected the same on all of them; [^\n]*$"
    with pytest.raises(WusumError, match=told):
        tag_with_ray([str(table)], str(tmp_path / "tags"), bundle=tiny_bundle)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}"])
def test_an_address_where_nobody_listens_is_told(
    form: str, tiny_bundle: Path, table: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", form.format(port))
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray would look for a cluster for minutes"))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    told = refused(capsys, table, "--engine", "ray", "--bundle", tiny_bundle, "-o", tmp_path / "tags")
    assert told == f"wusum: RAY_ADDRESS: {form.format(port)}: no cluster of Ray answers; expected its HOST:PORT; " + (
        "check it, or unset it to use this machine"
    )
    assert not (tmp_path / "tags").exists()


def test_a_cluster_of_another_version_is_told_in_one_sentence(
    tiny_bundle: Path, table: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mismatch(*_: object, **__: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 1.0.0\n")  # Ray's own words

    monkeypatch.setattr(ray, "init", mismatch)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        told = refused(capsys, table, "--engine", "ray", "--bundle", tiny_bundle, "-o", tmp_path / "tags")
    begin = f"wusum: RAY_ADDRESS: {address}: cannot join (Version mismatch: The cluster was started with: Ray: 1.0.0); "
    assert told.startswith(begin)
