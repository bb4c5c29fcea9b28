"""A Tagger in other processes: after a fork, and pickled by its path."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wusum.inference import Tagger
from wusum.inference.engine import EngineName
from wusum.inference.manifest import read_manifest, write_manifest
from wusum.labels import WusumError

from .engine_choice import each_engine

LINKS = Path(__file__).resolve().parents[2] / ".types"
HANG = 900  # seconds; a machine may be slow, but not so slow
ARTICLE = {"text": "قال وزير الخارجية الروسي إن بلاده مستعدة للحوار مع الولايات المتحدة بشأن وقف إطلاق النار في سوريا."}

# In an interpreter of its own: what tests import, above all torch, has threads too, and is not ours to fork.
FORKS = """
import multiprocessing, os, sys, threading, warnings
from wusum.inference import Tagger

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: the very thing that is tested
path, engine, article = sys.argv[1:4]
article = {"text": article}
tagger = Tagger.load(path, engine=engine, threads=2)
expected = tagger.predict(article)
stop = threading.Event()

def keep_busy():
    while not stop.is_set():
        tagger.predict(article)

def child(how):
    pid = os.fork()
    if pid:
        return pid
    if how != "unused" and tagger.predict(article) != expected:
        os._exit(3)
    if how == "abrupt":
        os._exit(0)
    sys.exit(0)  # with all destructors

def work(number):
    return tagger.predict(article) == expected

busy = threading.Thread(target=keep_busy)
busy.start()
for how in ("unused", "used", "abrupt"):
    status = os.waitpid(child(how), 0)[1]
    print(how, status, flush=True)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print("pool", all(pool.map(work, range(6))), flush=True)
stop.set()
busy.join()
print("parent", tagger.predict(article) == expected, flush=True)
"""


@pytest.fixture
def copied(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@each_engine
def test_forked_children_tag_and_end(engine: EngineName, tiny_bundle: Path) -> None:
    command = [sys.executable, "-c", FORKS, str(tiny_bundle), engine, ARTICLE["text"]]
    environment = os.environ | {"PYTHONPATH": str(LINKS)}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert shown.stdout.splitlines() == ["unused 0", "used 0", "abrupt 0", "pool True", "parent True"], shown.stderr
    assert shown.returncode == 0


@pytest.mark.parametrize("change", ["removed", "replaced"])
@each_engine
def test_a_forked_child_refuses_another_model(
    engine: EngineName, copied: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger = Tagger.load(copied, threads=1, engine=engine)
    before = tagger.predict(ARTICLE)
    model = copied / "model.onnx"
    other = model.with_suffix(".new")
    shutil.copyfile(model, other)
    model.unlink()
    if change == "replaced":
        other.replace(model)
    assert tagger.predict(ARTICLE) == before
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(WusumError) as caught:
        tagger.predict(ARTICLE)
    assert str(model) in str(caught.value)
    assert "load the Tagger again" in str(caught.value)


@each_engine
def test_a_pickle_holds_the_path_and_the_settings(engine: EngineName, copied: Path) -> None:
    tagger = Tagger.load(copied, threads=1, engine=engine)
    scoring = dataclasses.replace(tagger.bundle.scoring, thresholds=(0.999,) * len(tagger.taxonomy))
    tagger.bundle = dataclasses.replace(tagger.bundle, scoring=scoring)
    dumped = pickle.dumps(tagger)
    assert len(dumped) < (copied / "model.onnx").stat().st_size / 3
    twin = pickle.loads(dumped)
    assert twin.predict(ARTICLE) == tagger.predict(ARTICLE)
    assert twin.bundle == tagger.bundle
    assert pickle.dumps(twin) == dumped


def test_a_pickle_does_not_depend_on_the_working_directory(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied.parent)
    tagger = Tagger.load("bundle", threads=1)
    dumped = pickle.dumps(tagger)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(dumped).predict(ARTICLE) == tagger.predict(ARTICLE)
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    tagger.predict(ARTICLE)


def test_a_pickle_whose_folder_is_gone_is_one_sentence(copied: Path) -> None:
    dumped = pickle.dumps(Tagger.load(copied, threads=1))
    shutil.rmtree(copied)
    with pytest.raises(WusumError) as caught:
        pickle.loads(dumped)
    assert str(caught.value).startswith(f"{copied / 'bundle.json'}: not found, but a Tagger was pickled")
    assert "\n" not in str(caught.value)


def test_a_pickle_of_another_bundle_is_refused(copied: Path) -> None:
    tagger = Tagger.load(copied, threads=1)
    write_manifest(copied, read_manifest(copied) | {"version": "9.9.9"})
    dumped = pickle.dumps(tagger)  # of what was loaded, not of what lies there now
    with pytest.raises(WusumError, match="changed since the Tagger was pickled"):
        pickle.loads(dumped)


def test_a_pickle_of_a_damaged_bundle_is_refused(copied: Path) -> None:
    dumped = pickle.dumps(Tagger.load(copied, threads=1))
    model = copied / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(WusumError, match="sha256 differs"):
        pickle.loads(dumped)


# A handle whose calls overlap, so that without a turn of its own the fork would never find a moment without a call.
WAITS = """
import os, sys, tempfile, threading, time, warnings
from pathlib import Path
from wusum.inference.engine import PerProcess

warnings.simplefilter("ignore", DeprecationWarning)
inside, ended, stop = set(), [], threading.Event()

def call(number):
    while not stop.is_set():
        with handle.in_use():
            inside.add(number)
            time.sleep(0.02)
            inside.discard(number)
            ended.append(number)

handle = PerProcess(Path(sys.executable), str)
callers = [threading.Thread(target=call, args=(number,)) for number in range(3)]
for caller in callers:
    caller.start()
for _ in range(10):
    time.sleep(0.03)
    pid = os.fork()
    if not pid:
        os._exit(len(inside))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
before = len(ended)
while len(ended) == before:
    time.sleep(0.01)
print("calls go on", flush=True)
stop.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_waits_for_the_calls_that_are_running() -> None:
    environment = os.environ | {"PYTHONPATH": str(LINKS)}
    command = [sys.executable, "-c", WAITS]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert shown.stdout.splitlines() == ["0"] * 10 + ["calls go on"], shown.stderr
