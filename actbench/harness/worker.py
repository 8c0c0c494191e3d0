"""The worker: a process that loads a workload once and has cells measured, one after the other, until it is told to
stop.

`python -m actbench.harness.worker PARENT` reads messages from standard input and answers on what was standard output
when it started; whatever else prints goes to standard error. It ends when its parent does, the process of that number,
with all that was started.

On a CPU each cell is measured in a process that is forked from this one, which never runs a method's code, nor holds
evaluation images: those are in a file in memory, and a cell's process is given it when its method has planned. This
process computes on one thread alone: a forked process could not use threads that were started before it. On a GPU, or
where processes cannot be forked, cells are measured here, and whoever starts workers starts one for each method.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

from actbench.children import die_with_parent
from actbench.errors import Unsupported, UserError
from actbench.harness.isolation.processes import MARK, end_marked
from actbench.harness.messages import Preparation, receive, send

if TYPE_CHECKING:
    from actbench.harness.outcome import Progress
    from actbench.harness.workbench import Workbench
    from actbench.info import MethodInfo, WorkloadInfo
    from actbench.spec import CellSpec
    from actbench.workloads.base import Workload

_PROGRESS_INTERVAL = 0.1


def main() -> None:
    """Serves one parent."""
    die_with_parent(int(sys.argv[1]), signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: _end())
    answers = _claim_standard_output()
    first = sys.stdin.buffer.readline()
    if not first:
        return
    try:
        worker = _Worker(Preparation.from_json(receive(first)["prepare"]), answers)
    except UserError as error:
        send(answers, event="refused", message=str(error))
        return
    send(answers, event="ready", environment=worker.environment())
    for line in iter(sys.stdin.buffer.readline, b""):
        message = receive(line)
        if "cell" not in message:
            break
        try:
            worker.run(message["cell"], message["timeout"])
        except UserError as error:
            send(answers, event="refused", message=str(error))
            break
    _end()


class _Worker:
    def __init__(self, preparation: Preparation, answers: IO[bytes]) -> None:
        import torch

        from actbench.harness.turns import Turns
        from actbench.listing.plugins import list_plugins

        self._answers = answers
        self._preparation = preparation
        self._threads = preparation.threads or torch.get_num_threads()
        self._forks = forks(preparation.device)
        torch.set_num_threads(1 if self._forks else self._threads)
        self._registry = list_plugins(preparation.plugin_files)  # no method's code is run here
        self._device = torch.device(preparation.device)
        if self._forks:
            import actbench.harness.inference
            import actbench.harness.isolation.limits  # noqa: F401 (once here, rather than in each cell's process)
        self._turns = Turns(shared=preparation.shared)
        with self._turns.beside():
            self._bench = self._load()
        self._evaluation: dict[str, int] = {}
        self._tell: Progress = lambda step, done, total: send(answers, event="step", step=step, done=done, total=total)
        self._last = 0.0

    def environment(self) -> dict[str, Any]:
        from actbench.harness.environment import machine, revision, versions

        described = machine(self._device.type) | {"threads": self._threads}
        return {"versions": versions(), "machine": described, "revision": revision()}

    def run(self, canonical: dict[str, Any], timeout: float) -> None:
        from actbench.harness.load import watch
        from actbench.spec import CellSpec

        cell = CellSpec.from_canonical(canonical)
        info, watched = self._registry.method(cell.method.name), watch()
        outcome = self._apart(cell, info, timeout) if self._forks else self._here(cell, info)
        load = outcome.pop("load") or watched.stop()
        send(self._answers, event="result", outcome=outcome, load=load)

    def _load(self) -> Workbench:
        """The workload and its network, now, so that a damaged checkpoint ends the run before its first cell. Raises
        UserError with the reason, whatever the workload raises."""
        from actbench.harness.isolation.apart import one_line
        from actbench.harness.workbench import Workbench

        try:
            bench = Workbench(*self._workload(), self._device)
            assert bench.network
            return bench
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"workload {self._preparation.workload} cannot be loaded: {one_line(error)}") from error

    def _workload(self) -> tuple[Workload, WorkloadInfo]:
        """The workload: one that is registered, or the user's own."""
        from actbench.workloads.base import WorkloadSettings
        from actbench.workloads.own.workload import OwnWorkload

        preparation = self._preparation
        if preparation.own is not None:
            # What is wrong with a file may be the reason that a record gives, which is nobody's folder's name.
            own = OwnWorkload(preparation.own.with_paths(_from_here), preparation.limit)
            return own, own.info
        info = self._registry.workload(preparation.workload)
        settings = WorkloadSettings(preparation.data, preparation.weights, preparation.limit)
        return self._registry.load(info.target)(settings), info

    def _here(self, cell: CellSpec, info: MethodInfo) -> dict[str, Any]:
        from actbench.harness.inference import run_cell
        from actbench.harness.isolation.torch_state import torch_state_kept

        self._registry.load(info.target)
        with torch_state_kept() as changed:
            outcome = run_cell(self._bench, cell, info, self._progress, self._turns)
        outcome.warnings += [f"the method changed torch's {name}" for name in changed]
        return outcome.to_json()

    def _apart(self, cell: CellSpec, info: MethodInfo, timeout: float) -> dict[str, Any]:
        from actbench.harness.isolation.cell_process import CellProcess
        from actbench.harness.outcome import Outcome

        deadline = monotonic() + timeout
        try:
            with self._turns.beside():
                images = self._images(cell)
        except Unsupported as error:
            return Outcome("unsupported", str(error)).to_json()
        close = (self._answers.fileno(), *self._evaluation.values())
        process = CellProcess(lambda channel: self._measure(cell, info, channel), close)

        def told(message: dict[str, Any]) -> None:
            if message.get("event") == "planned":
                process.channel.send_file(images)
            elif message.get("event") == "step":
                self._tell(str(message["step"]), int(message["done"]), int(message["total"]))

        try:
            return process.outcome(timeout, deadline, told, sys.stdin.fileno())
        except BrokenPipeError:
            _end()
            raise
        finally:
            process.end(os.environ.get(MARK, ""))

    def _measure(self, cell: CellSpec, info: MethodInfo, channel: Any) -> dict[str, Any]:
        """In the cell's own process."""
        import torch

        from actbench.harness.inference import run_cell
        from actbench.harness.isolation.image_file import read_images
        from actbench.harness.isolation.limits import forbid_files, limit_memory

        self._registry.load(info.target)
        limit_memory(self._preparation.memory)
        torch.set_num_threads(self._threads)

        def evaluation() -> Any:
            forbid_files()
            channel.send(event="planned")
            return read_images(channel.receive_file())

        self._bench.hand_over(evaluation)
        self._tell = lambda step, done, total: channel.send(event="step", step=step, done=done, total=total)
        return run_cell(self._bench, cell, info, self._progress, self._turns).to_json()

    def _images(self, cell: CellSpec) -> int:
        """The file with the evaluation images of the cell's track; what all its cells share is computed with it."""
        from actbench.harness.warming import evaluation_of, warm_up

        track = cell.settings.track
        if track not in self._evaluation:
            self._evaluation[track] = evaluation_of(self._bench, track, self._threads)
        warm_up(self._bench, cell, self._threads)
        return self._evaluation[track]

    def _progress(self, step: str, done: int, total: int) -> None:
        self._turns.pause()
        now = monotonic()
        if not total or done == total or now - self._last > _PROGRESS_INTERVAL:
            self._last = now
            self._tell(step, done, total)


def forks(device: str) -> bool:
    """Whether cells are measured in forked processes: not where a GPU's driver forbids it, nor outside Linux, where
    system libraries do."""
    return device == "cpu" and sys.platform == "linux"


def _claim_standard_output() -> IO[bytes]:
    """Keeps standard output for answers: a plugin's print, even from C, must not be taken for one."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(answers, "wb")


def _from_here(path: str) -> str:
    """A path below the folder that the worker stands in, as one says it there."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def _end() -> None:
    """Ends everything that was started here, and then this process."""
    end_marked(os.environ.get(MARK, ""))
    os._exit(0)


if __name__ == "__main__":
    main()
