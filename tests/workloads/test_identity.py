"""The digest of a data folder: what it covers, what it refuses, and what it reads a second time."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from actbench.errors import UserError
from actbench.workloads import cache as cache_module
from actbench.workloads.cache import cache_folder
from actbench.workloads.files import file_digest, folder_digest
from actbench.workloads.identify import cifar10, mobilenet


def plain_digest(folder: Path) -> str:
    """The formula of records that are published, for folders without links."""
    digest = hashlib.sha256()
    for path in sorted(Path(parent, name) for parent, _, names in os.walk(folder) for name in names):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    names = ["train/cat/0.png", "train/cat.d/1.png", "train/dog/a/2.png", "train/dog/a.png", "test/cat/é.png", ".note"]
    for number, name in enumerate(names):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * number)
    return tmp_path / "data"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content is read, as they are."""
    paths: list[str] = []
    read = cache_module.content_digest

    def counted(path: str) -> str:
        paths.append(path)
        return read(path)

    monkeypatch.setattr(cache_module, "content_digest", counted)
    return paths


def classes(root: Path, *parts: str) -> Path:
    for part in parts:
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            (root / part / name / "0.png").write_bytes(f"{part} {name}".encode())
    return root


def test_plain_folders_keep_the_digest_of_published_records(data: Path, tmp_path: Path) -> None:
    assert folder_digest(data) == plain_digest(data)
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    folder = classes(tmp_path / "classes", "train", "test")
    assert cifar10(folder, weights) == {
        "data": f"sha256:{plain_digest(folder)}",
        "weights": hashlib.sha256(b"weights").hexdigest(),
    }


def test_data_behind_links_have_the_digest_of_the_data(data: Path, tmp_path: Path) -> None:
    expected = folder_digest(data)
    (tmp_path / "linked").mkdir()
    for entry in data.iterdir():
        (tmp_path / "linked" / entry.name).symlink_to(entry)
    (tmp_path / "all").symlink_to(data)
    assert folder_digest(tmp_path / "linked") == expected
    assert folder_digest(tmp_path / "all") == expected
    (data / "train" / "cat" / "0.png").write_bytes(b"another")
    assert folder_digest(tmp_path / "linked") != expected


def test_a_folder_that_two_links_lead_to_is_no_loop(data: Path) -> None:
    (data / "again").symlink_to(data / "train")
    (data / "once more").symlink_to(data / "train")
    assert folder_digest(data)


@pytest.mark.parametrize("target", ["..", ".", "../..", "loop"])
def test_a_link_that_loops_is_named(data: Path, target: str) -> None:
    (data / "train" / "loop").symlink_to(target)
    with pytest.raises(UserError, match="train/loop"):
        folder_digest(data)


def test_links_that_lead_to_each_other_are_named(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "other").symlink_to(tmp_path / "data" / other)
    with pytest.raises(UserError, match="other is a link to a folder that it is in"):
        folder_digest(tmp_path / "data")


def test_what_is_no_file_is_never_opened(data: Path) -> None:
    os.mkfifo(data / "train" / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png is neither a file nor a folder"):
        folder_digest(data)
    with pytest.raises(UserError, match=r"pipe\.png: it is not a file"):
        file_digest(data / "train" / "pipe.png")
    (data / "train" / "pipe.png").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(data / "plug.png"))
        with pytest.raises(UserError, match=r"plug\.png is neither a file nor a folder"):
            folder_digest(data)
    (data / "plug.png").unlink()
    (data / "device.png").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"device\.png is neither a file nor a folder"):
        folder_digest(data)


def test_what_cannot_be_read_is_no_digest(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="empty holds no file"):
        folder_digest(tmp_path / "empty")
    with pytest.raises(UserError, match="gone: No such file"):
        folder_digest(tmp_path / "gone")
    (data / "dangling.png").symlink_to("gone.png")
    with pytest.raises(UserError, match=r"dangling\.png: No such file .*restore what it points to"):
        folder_digest(data)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_rights_that_are_missing_are_said(data: Path) -> None:
    (data / "train" / "cat" / "0.png").chmod(0)
    with pytest.raises(UserError, match=r"0\.png: Permission denied"):
        folder_digest(data)
    (data / "train" / "cat").chmod(0)
    with pytest.raises(UserError, match="cat: Permission denied"):
        folder_digest(data)
    (data / "train" / "cat").chmod(0o700)


def test_names_that_are_no_text(data: Path) -> None:
    expected = folder_digest(data)
    strange = os.fsencode(data) + b"/\xff\x1b[2J.png"
    Path(os.fsdecode(strange)).write_bytes(b"1")
    assert folder_digest(data) != expected
    Path(os.fsdecode(strange)).unlink()
    os.mkfifo(strange)
    with pytest.raises(UserError, match="neither a file") as caught:
        folder_digest(data)
    assert r"\udcff\x1b[2J.png" in str(caught.value)


def test_a_second_call_reads_no_content(data: Path, cache: Path, reads: list[str]) -> None:
    before = set(data.rglob("*"))
    expected = folder_digest(data)
    assert len(reads) == 6
    assert folder_digest(data) == expected
    assert len(reads) == 6
    assert set(data.rglob("*")) == before, "nothing is written beside the data"
    assert [path.parent for path in cache.rglob("*.json")] == [cache / "digests"]


def test_what_has_changed_is_read_again(data: Path, reads: list[str]) -> None:
    path = data / "train" / "dog" / "a.png"
    expected, status = folder_digest(data), path.stat()
    path.write_bytes(b"xyz"[: status.st_size])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    del reads[:]
    assert folder_digest(data) == plain_digest(data) != expected
    assert reads == [str(path)]


def test_a_write_at_once_is_noticed(data: Path) -> None:
    path = data / "train" / "cat" / "0.png"
    for number in range(20):
        path.write_bytes(bytes([number]))
        assert folder_digest(data) == plain_digest(data)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a": 1}', None])
def test_a_damaged_cache_is_written_anew(data: Path, cache: Path, reads: list[str], damage: bytes | None) -> None:
    expected = folder_digest(data)
    (kept,) = cache.rglob("*.json")
    whole = kept.read_text()
    kept.write_bytes(damage if damage is not None else whole.replace('": "', '": "x').encode())
    del reads[:]
    assert folder_digest(data) == expected
    assert len(reads) == 6
    assert kept.read_text() == whole


def test_no_cache_is_no_error(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACTBENCH_CACHE", str(tmp_path / "file"))
    assert folder_digest(data) == plain_digest(data)
    monkeypatch.delenv("ACTBENCH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert folder_digest(data) == plain_digest(data)
    with pytest.raises(UserError, match="ACTBENCH_CACHE"):
        cache_folder()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["ACTBENCH_CACHE"])
    monkeypatch.delenv("ACTBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/actbench")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "actbench"


def test_what_was_read_before_an_interruption_is_kept(
    data: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = cache_module.content_digest

    def interrupted(path: str) -> str:
        if len(reads) == 4:
            raise KeyboardInterrupt
        return counted(path)

    monkeypatch.setattr(cache_module, "content_digest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder_digest(data)
    monkeypatch.setattr(cache_module, "content_digest", counted)
    folder_digest(data)
    assert len(reads) == 6


def test_mobilenets_digest_is_of_the_content(tmp_path: Path) -> None:
    folder = classes(tmp_path / "data", "train", "val")
    before = mobilenet(folder, None)["data"]
    assert before == f"sha256:{plain_digest(folder)}"
    path = folder / "val" / "dog" / "0.png"
    path.write_bytes(path.read_bytes()[::-1])
    assert mobilenet(folder, None)["data"] != before
