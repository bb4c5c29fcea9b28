"""Bundles by a hub name: what is fetched, what is refused, offline, and a hub that misbehaves."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wusum.inference import Tagger, cli
from wusum.inference import hub as hub_module
from wusum.inference.bundle import MODEL, NGRAMS, SERVING_FILES, TAXONOMY, TOKENIZER, embedded_bundle
from wusum.inference.bundle_source import find_bundle, load_bundle
from wusum.inference.manifest import MANIFEST, seal
from wusum.labels.errors import WusumError

from ..fake_hub import COMMIT, REPOSITORY, HubState, running_hub

ARTICLE = "قال وزير الخارجية الروسي إن بلاده مستعدة للحوار مع الولايات المتحدة بشأن وقف إطلاق النار في سوريا."


def bundle_files(model: bytes = b"a model") -> dict[str, bytes]:
    """The files of a bundle that can be opened; nothing runs its model."""
    files = {
        MODEL: model,
        TOKENIZER: b"{}",
        TAXONOMY: (embedded_bundle() / TAXONOMY).read_bytes(),
        NGRAMS: b"a table",
        "encoder.json": b"{}",
        "network.safetensors": b"the trained weights",
        "README.md": b"a card",
    }
    manifest = json.loads((embedded_bundle() / MANIFEST).read_bytes())
    manifest["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return files | {MANIFEST: json.dumps(seal(manifest)).encode(), "notes.txt": b"not of the bundle"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub-cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubState]:
    """A hub that knows one bundle."""
    with running_hub(bundle_files(), cache, monkeypatch) as state:
        yield state


def refusal(name: str, *, offline: bool = False) -> str:
    with pytest.raises(WusumError) as fault:
        load_bundle(name, offline=offline)
    assert "\n" not in str(fault.value)
    return str(fault.value)


def forbid_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the hub was asked")

    monkeypatch.setattr("subprocess.Popen", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def test_what_tagging_needs_is_fetched_once_and_found_again_offline(
    hub: HubState, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(f"{REPOSITORY}@v1")
    assert bundle.folder.name == COMMIT
    assert {file.name for file in bundle.folder.iterdir()} == {MANIFEST, *SERVING_FILES, NGRAMS, "encoder.json"}
    forbid_asking(monkeypatch)
    hub.calls.clear()
    assert load_bundle(f"{REPOSITORY}@v1", offline=True) == bundle
    assert load_bundle(f"{REPOSITORY}@{COMMIT}") == bundle, "a commit cannot change"
    assert "not in the local cache, and offline=True is given" in refusal(REPOSITORY, offline=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load_bundle(f"{REPOSITORY}@v1") == bundle
    assert "not in the local cache, and HF_HUB_OFFLINE is set" in refusal(f"{REPOSITORY}@v2")
    assert hub.calls == []


def test_a_branch_leads_to_the_newest_commit_which_an_old_one_outlives(hub: HubState) -> None:
    old = load_bundle(REPOSITORY)
    hub.files, hub.commit = bundle_files(b"a newer model"), "d" * 40
    hub.dead = MODEL
    assert load_bundle(REPOSITORY, offline=True) == old
    assert refusal(REPOSITORY).startswith(f"bundle {REPOSITORY}: ")
    assert load_bundle(REPOSITORY, offline=True) == old, "an update that was cut spoils nothing"
    hub.dead = None
    assert load_bundle(REPOSITORY).folder.name == "d" * 40
    assert load_bundle(REPOSITORY, offline=True).folder.name == "d" * 40


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (None, f"the hub has no {MANIFEST} at this revision; expected a bundle"),
        (b"<html>", "not JSON"),
        (b"{}", "format: missing"),
        (b'{"format": 99}', "is newer than"),
    ],
)
def test_what_is_no_bundle_is_refused_before_more_is_fetched(hub: HubState, manifest: bytes | None, told: str) -> None:
    if manifest is None:
        del hub.files[MANIFEST]
    else:
        hub.files[MANIFEST] = manifest
    assert told in refusal(REPOSITORY)
    assert hub.fetched <= {MANIFEST}


@pytest.mark.parametrize("name", ["*", "../x"])
def test_a_manifest_cannot_name_what_is_no_plain_file(hub: HubState, name: str) -> None:
    manifest = json.loads(hub.files[MANIFEST])
    manifest["files"][name] = "0" * 64
    hub.files[MANIFEST] = json.dumps(seal(manifest)).encode()
    assert "is no plain file name" in refusal(REPOSITORY)
    assert hub.fetched == {MANIFEST}


def test_an_upload_that_is_not_complete_is_told(hub: HubState) -> None:
    del hub.files[MODEL]
    assert f"the hub has no {MODEL} at this revision, though {MANIFEST} names it" in refusal(REPOSITORY)
    assert hub.fetched == {MANIFEST}


def test_an_upload_with_another_file_than_the_manifest_says_is_told(hub: HubState) -> None:
    hub.files[MODEL] = b"another model"
    assert f"{MODEL}: its sha256 differs" in refusal(REPOSITORY)


@pytest.mark.parametrize("name", ["someone/else", f"{REPOSITORY}@no-such"])
def test_an_unknown_name_or_revision_is_told(hub: HubState, name: str) -> None:
    told = refusal(name)
    assert told.startswith(f"bundle {name}: not on the hub, or not open to you")


@pytest.mark.parametrize("refused", [("/", 401, "RepoNotFound"), ("/resolve/", 403, "GatedRepo")])
def test_a_private_repository_is_told(hub: HubState, refused: tuple[str, int, str]) -> None:
    hub.refused = refused
    assert "not on the hub, or not open to you; check the id and `hf auth login`" in refusal(REPOSITORY)


def test_a_hub_that_is_out_of_order_is_told_and_no_loss_where_the_cache_holds_the_bundle(hub: HubState) -> None:
    hub.refused = ("/", 500, None)
    assert "the hub refuses (HfHubHTTPError: " in refusal(REPOSITORY)
    hub.refused = None
    bundle = load_bundle(REPOSITORY)
    hub.refused = ("/", 500, None)
    assert load_bundle(REPOSITORY) == bundle


@pytest.mark.parametrize("silent", ["/tree/", MODEL])
def test_a_hub_that_falls_silent_ends_in_one_line_and_the_next_try_goes_on(
    hub: HubState, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    hub.silent = silent
    with monkeypatch.context() as patch:
        patch.setattr(hub_module, "PATIENCE_S", 4.0)
        assert "the hub fell silent for 4 seconds" in refusal(REPOSITORY)
    hub.silent = None
    assert load_bundle(REPOSITORY).folder.name == COMMIT


def test_a_hub_that_never_answers_ends_in_one_line(hub: HubState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TIMEOUT_S", 0.2)
    hub.silent = "/"
    assert "not in the local cache, and the hub cannot be reached" in refusal(REPOSITORY)


def test_half_a_download_is_never_taken_for_a_bundle_and_is_taken_up(hub: HubState) -> None:
    model = random.Random(0).randbytes(12 * 1024 * 1024)
    hub.files = bundle_files(model)
    hub.drop_at, hub.dead_after_drop = 11 * 1024 * 1024, True
    assert "not in the local cache, and the download failed" in refusal(f"{REPOSITORY}@{COMMIT}")
    assert "the local cache holds a part of it" in refusal(f"{REPOSITORY}@{COMMIT}", offline=True)
    hub.dead = None
    assert load_bundle(f"{REPOSITORY}@{COMMIT}").model_path.read_bytes() == model


@pytest.mark.parametrize("name", [MODEL, MANIFEST])
def test_a_damaged_cache_is_told_with_the_folder_to_delete(hub: HubState, cache: Path, name: str) -> None:
    damaged = load_bundle(REPOSITORY).folder / name
    damaged.write_bytes(b"{" + damaged.read_bytes()[1:-1])
    repository = cache / "models--someone--small"
    for offline in (True, False):
        told = refusal(REPOSITORY, offline=offline)
        assert str(damaged) in told
        assert told.endswith(f"if its copy from the hub is damaged, delete the folder {repository} and load again")
    shutil.rmtree(repository)
    assert load_bundle(REPOSITORY).folder == damaged.parent


def test_a_folder_of_ones_own_is_not_to_be_deleted(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{", "utf-8")
    assert "delete" not in refusal(str(tmp_path))


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refusal(REPOSITORY).startswith(f"bundle {REPOSITORY}: no such folder")
    assert "pip install huggingface_hub" in refusal(REPOSITORY)


@pytest.mark.parametrize(
    "name", ["./runs/mine", "/runs/mine", "~/mine", "runs", "a/b/c", "runs/model.onnx", "C:\\runs\\mine", "two words/x"]
)
def test_a_path_that_does_not_exist_is_not_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    forbid_asking(monkeypatch)
    assert f"{os.path.expanduser(Path(name))}/{MANIFEST}: not found" in refusal(name)


def test_a_path_is_never_a_hub_name(hub: HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_bundle(Path(REPOSITORY)) == Path(REPOSITORY)
    monkeypatch.chdir(tmp_path)
    Path(REPOSITORY).mkdir(parents=True)
    assert find_bundle(REPOSITORY) == Path(REPOSITORY)
    assert find_bundle(None) == embedded_bundle()
    assert hub.calls == []


@pytest.mark.parametrize("name", [f"{REPOSITORY}@", f"{REPOSITORY}@../../x", f"{REPOSITORY}@a b"])
def test_what_is_no_revision_is_refused_unasked(hub: HubState, name: str) -> None:
    assert "no revision; expected a branch, tag or commit after @" in refusal(name)
    assert hub.calls == []


def test_a_name_that_the_hub_forbids_is_refused_unasked(hub: HubState) -> None:
    assert "neither a folder nor a hub id; expected owner/name" in refusal("some--one/small")
    assert hub.calls == []


def test_a_version_number_is_no_suffix(hub: HubState) -> None:
    assert "not on the hub" in refusal("someone/news-1.5")
    assert hub.calls


def test_the_tagger_and_the_command_take_a_hub_name(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {file.name: file.read_bytes() for file in embedded_bundle().iterdir() if file.is_file()}
    (tmp_path / "article.txt").write_text(ARTICLE, "utf-8")
    output = tmp_path / "tags.jsonl"
    command = ["tag", str(tmp_path / "article.txt"), "-o", str(output), "--bundle", f"{REPOSITORY}@v1"]
    with running_hub(files, cache, monkeypatch) as hub:
        assert cli.main(command) == 0
        told = capfd.readouterr().err.splitlines()
        assert all(line.startswith("wusum: ") for line in told), "no bars of the download where nobody watches"
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        hub.calls.clear()
        assert cli.main([*command, "--resume"]) == 0
        assert "complete already" in capfd.readouterr().err
        assert cli.main([*command[:-1], "someone/else", "--force"]) == 2
        assert "not in the local cache, and HF_HUB_OFFLINE is set" in capfd.readouterr().err
        tagger = Tagger.load(f"{REPOSITORY}@v1", threads=1, offline=True)
        assert hub.calls == []
    embedded = Tagger.load(threads=1).predict(ARTICLE)
    row = json.loads(output.read_text("utf-8"))
    assert row["actors"] == list(embedded.actors)
    assert tagger.predict(ARTICLE) == embedded
