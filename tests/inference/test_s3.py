"""Object stores: a real S3 server, and a network that cuts connections."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto.server")
pa = pytest.importorskip("pyarrow")

import moto.settings  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from moto.core.authorization import ActionAuthenticatorMixin  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from pyarrow.fs import S3FileSystem  # noqa: E402

from wusum.inference import object_store, ray_sources  # noqa: E402
from wusum.inference.columns import ReadOptions  # noqa: E402
from wusum.inference.object_store import OutputFolder, StoreFault, open_store  # noqa: E402
from wusum.inference.ray_job import RayTally, tag_with_ray  # noqa: E402
from wusum.inference.ray_sources import find_stored  # noqa: E402
from wusum.inference.readers import read_records  # noqa: E402
from wusum.inference.record import Record  # noqa: E402
from wusum.inference.tagger import Tagger  # noqa: E402
from wusum.labels.errors import WusumError  # noqa: E402

from .cutting_proxy import CuttingProxy  # noqa: E402


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of an S3 server with the bucket ``news``."""
    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        port = running.get_host_and_port()[1]
        _direct(port, allow_bucket_creation=True).create_dir("news")
        yield port
    running.stop()


def _direct(port: int, **options: Any) -> S3FileSystem:
    return S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", region="us-east-1", **options)


def _at(path: str, port: int) -> str:
    return f"s3://{path}?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"


def _put(port: int, path: str, data: bytes) -> None:
    with _direct(port).open_output_stream(path, compression=None) as file:
        file.write(data)


def _lines(count: int) -> bytes:
    draw = random.Random(count)
    rows = ({"id": number, "text": f"خبر {draw.getrandbits(4000):x}"} for number in range(count))
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _texts(address: str) -> list[str]:
    found = [item for source in find_stored([address]) for item in read_records(source, ReadOptions())]
    assert all(isinstance(item, Record) for item in found), found
    return [item.article.text for item in found]  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(2))
def test_what_is_read_over_lost_connections_is_whole(server: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_sources, "_BUFFER", 1 << 18)  # five requests a file
    data = _lines(1200)
    expected = [json.loads(line)["text"] for line in data.splitlines()]
    _put(server, "news/read/a.jsonl", data)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": expected}), sink, compression="none", row_group_size=300)
    _put(server, "news/read/b.parquet", sink.getvalue().to_pybytes())
    proxy = CuttingProxy(server, 1, 500_000, seed)
    assert _texts(_at("news/read", proxy.port)) == expected * 2
    assert proxy.cuts >= 2
    proxy.close()


def test_a_file_is_read_in_few_requests(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _lines(1000)
    _put(server, "news/few/a.jsonl", data)
    (source,) = find_stored([_at("news/few/a.jsonl", server)])
    asked: list[int] = []
    plain = ray_sources._WholeFile.readinto

    def readinto(self: ray_sources._WholeFile, buffer: Any) -> int:
        asked.append(memoryview(buffer).nbytes)
        return plain(self, buffer)

    monkeypatch.setattr(ray_sources._WholeFile, "readinto", readinto)
    assert len(list(read_records(source, ReadOptions()))) == 1000
    assert len(asked) <= 3 + len(data) // (1 << 22)


def test_what_is_written_over_lost_connections_is_whole(server: int) -> None:
    proxy = CuttingProxy(server, 1, 100_000)
    folder = OutputFolder(_at("news/written", proxy.port))
    files = {f"part-{number}": random.Random(number).randbytes(60_000) for number in range(12)}
    for name, data in files.items():
        folder.write(name, data)
    assert sorted(folder.names()) == sorted(files)
    assert proxy.cuts >= 3
    direct = OutputFolder(_at("news/written", server))
    assert {name: direct.read(name) for name in direct.names()} == files
    proxy.close()


def test_a_connection_that_stays_lost_is_told_in_one_sentence(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "_ATTEMPTS", 2)
    _put(server, "news/lost/a.jsonl", _lines(1200))
    proxy = CuttingProxy(server, 1 << 40, 1 << 40)
    address = _at("news/lost", proxy.port)
    (source,) = find_stored([address])
    proxy.fewest, proxy.most = 0, 300_000  # too little for any part of the file
    expected = r"^s3://news/lost\S*: the connection failed in every attempt; [^\n]*--resume$"
    with pytest.raises(StoreFault, match=expected):
        list(read_records(source, ReadOptions()))
    proxy.most = 0
    with pytest.raises(StoreFault, match=expected):
        OutputFolder(address).write("b", b"x" * 100_000)
    with pytest.raises(StoreFault, match=expected):
        list(find_stored([address]))
    proxy.close()
    assert OutputFolder(_at("news/lost", server)).names() == ["a.jsonl"]


@pytest.mark.parametrize("path", ["news/short/a.jsonl", "news/short/b.parquet"])
def test_an_object_that_became_shorter_is_told(server: int, path: str) -> None:
    def content(rows: int) -> bytes:
        if path.endswith("jsonl"):
            return _lines(rows)
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"text": [f"خبر {number}" for number in range(rows)]}), sink)
        return bytes(sink.getvalue().to_pybytes())

    _put(server, path, content(400))
    (source,) = find_stored([_at(path, server)])
    _put(server, path, content(100))
    with pytest.raises(StoreFault, match=r"has [\d,]+ bytes and had [\d,]+ when the job began"):
        list(read_records(source, ReadOptions()))


def test_a_file_that_ends_too_early_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_sources, "_BUFFER", 1 << 12)
    table = tmp_path / "a.jsonl"
    table.write_bytes(_lines(50))
    (source,) = find_stored([str(table)])
    with source.open() as file:
        assert len(file.read(5000)) == 5000
        os.truncate(table, 10_000)
        with pytest.raises(StoreFault, match=r"a\.jsonl: ended after 10,000 of [\d,]+ bytes"):
            file.read()


def test_a_folder_gives_its_tables_in_order(server: int) -> None:
    for name in ("b.jsonl", "a/é 1.csv.gz", "c.parquet", "d.txt", "_rejected/x.jsonl", "e.rejected.jsonl", ".f.jsonl"):
        _put(server, f"news/folder/{name}", b"x")
    found = list(find_stored([_at("news/folder/", server)]))
    assert [source.path.removeprefix("s3://news/folder/") for source in found] == [
        "a/é 1.csv.gz",
        "b.jsonl",
        "c.parquet",
    ]
    assert {source.size for source in found} == {1}
    assert all(source.address == _at(source.path[5:], server) for source in found)


def test_faults_of_an_address_are_one_sentence(server: int) -> None:
    for path, told in {
        "nobody/a.jsonl": "s3://nobody/a.jsonl: no such bucket; check its name, or create it first",
        "news/none.jsonl": "s3://news/none.jsonl: no such object; check the address",
    }.items():
        with pytest.raises(WusumError, match=f"^{told}$"):
            list(find_stored([_at(path, server)]))
    with pytest.raises(WusumError, match=r"^s3://nobody/tags: no such bucket; check its name, or create it first$"):
        OutputFolder(_at("nobody/tags", server)).write("a", b"")
    with pytest.raises(WusumError, match="unknown option secret; expected endpoint_override, region, scheme"):
        open_store("s3://news/a?secret=1")
    with pytest.raises(WusumError, match="credentials in an address") as caught:
        open_store("s3://key:word@news/a")
    assert "word" not in str(caught.value)
    with pytest.raises(WusumError, match="names no bucket"):
        open_store("s3:///a")
    with pytest.raises(WusumError, match="cannot be opened"):
        open_store("ftpx://a/b")


def test_without_credentials_they_are_asked_for(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(server, "news/closed/a.jsonl", b"x")
    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    monkeypatch.setattr(ActionAuthenticatorMixin, "request_count", 0)
    with pytest.raises(StoreFault, match=r"access denied; set the store's credentials, for S3 AWS_ACCESS_KEY_ID"):
        list(find_stored([_at("news/closed/a.jsonl", server)]))
    with pytest.raises(StoreFault, match="access denied"):
        OutputFolder(_at("news/closed", server)).write("b", b"x")


def test_a_job_over_lost_connections_is_complete(
    server: int, samples: list[dict[str, Any]], tiny_bundle: Path, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray")
    rows = []
    for part in range(8):
        copies = [row | {"id": f"{row['id']}#{part}"} for row in samples[part % 2 :: 2]]
        data = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in copies)
        assert 20_000 < len(data) < 40_000
        _put(server, f"news/job/{part}.jsonl", data)
        rows += copies
    # Each request has a connection, and two of three could carry a whole file. By this seed the first two that carry
    # one, when the job looks for dates, are cut.
    proxy = CuttingProxy(server, 1, 120_000, seed=1296)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=1 << 27)
        try:
            output = _at("news/tags", proxy.port)
            done = tag_with_ray([_at("news/job", proxy.port)], output, bundle=tiny_bundle, workers=2, block_articles=8)
        finally:
            ray.shutdown()
    assert done == RayTally(len(rows), 0)
    assert proxy.cuts >= 2
    proxy.close()
    tagger = Tagger.load(tiny_bundle, threads=1)
    found = pq.read_table("news/tags", filesystem=_direct(server)).to_pylist()
    given = {row["id"]: tagger.predict({"title": row["title"], "text": row["text"]}) for row in rows}
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    for row in found:
        expected = given[row["id"]]
        assert (tuple(row["topics"]), tuple(row["actors"])) == (expected.topics, expected.actors)
        told = {label: expected.scores[label] for label in (*expected.topics, *expected.actors)}
        assert dict(row["scores"]) == told
