"""Checkpoints that are wrong are named in one line, whatever torch raises of them."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from actbench.errors import UserError
from actbench.workloads.files import read_weights


class Called:
    """What a pickle calls when it is read: allowed by torch, with arguments that it does not expect."""

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, ()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("write", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_never_opened(write: Callable[[Path], object], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    write(path)
    with pytest.raises(UserError, match=rf"weights\.{suffix}: it is not a file"):
        read_weights(path)


def test_an_error_of_torchs_own_names_the_file(tmp_path: Path) -> None:
    torch.save({"conv": Called()}, tmp_path / "weights.pt")
    with pytest.raises(UserError, match=r"cannot read checkpoint .*weights\.pt: _rebuild_tensor"):
        read_weights(tmp_path / "weights.pt")


def test_nothing_is_said_of_a_file_beside_its_error(tmp_path: Path) -> None:
    torch.save({"conv": torch.zeros(1)}, tmp_path / "weights.pt", pickle_protocol=3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert list(read_weights(tmp_path / "weights.pt")) == ["conv"]
    assert not said
