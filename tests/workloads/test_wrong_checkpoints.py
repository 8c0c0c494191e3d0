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


def test_a_whole_model_is_refused_without_torchs_advice_to_run_its_code(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    (tmp_path / "text.pt").write_text("import torch\n")
    for name, reason in {"model.pt": r"torch\.nn\.modules\.linear\.Linear", "text.pt": "Unsupported operand"}.items():
        with pytest.raises(
            UserError, match=rf"no state dictionary of tensors .*{reason}.*save model.state_dict"
        ) as said:
            read_weights(tmp_path / name)
        assert "weights_only" not in str(said.value)
        assert len(str(said.value)) < 300
