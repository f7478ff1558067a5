"""Executor `slurm`: units as jobs of a SLURM cluster, in arrays that submitit submits.

Short units share a job; what a model's record says of memory, GPUs and hours is asked for. This process waits for the jobs.
The run's folder, the data and the environment have to be the same on all machines.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.execution.cluster_file import read_cluster_file
from benchmarks.execution.events import Event, UnitStarted
from benchmarks.execution.executor import Execution
from benchmarks.execution.executors._elsewhere import Elsewhere, import_extra
from benchmarks.execution.plan import Plan, RunSpec
from benchmarks.execution.worker import do_units

JOBS = "jobs"
"""Folder of submitit's files in a run's folder."""
BUNDLE = 4
SECONDS_BETWEEN_LOOKS = 1.0
MINUTES_OF_SHORT_UNIT = 60
"""Time asked for each unit whose model states no hours."""


class Slurm(Elsewhere):
    """See the module."""

    takes = ("cluster_file", "bundle")

    def __init__(self, plan: Plan, folder: Path, execution: Execution) -> None:
        super().__init__(plan, folder, execution)
        self.submitit: Any = import_extra("submitit", "slurm")
        self.parameters = read_cluster_file(execution.cluster_file)
        self.models: Mapping[str, Mapping[str, Any]] = self.parameters.pop("models", {})
        self.cluster = self.parameters.pop("cluster", "slurm")
        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            raise BenchmarkError(
                'sbatch is not here, so no job can be submitted; run this on a SLURM cluster, or write cluster = "local" into '
                "--cluster-file to try it on this machine."
            )
        if not isinstance(self.models, Mapping) or not all(isinstance(own, Mapping) for own in self.models.values()):
            raise BenchmarkError(f"--cluster-file {execution.cluster_file}: models holds no table for each model.")
        with tempfile.TemporaryDirectory() as scratch:
            for spec in plan.specs:
                self._executor(Path(scratch), self._parameters_of(spec))

    def run(self, specs: Sequence[RunSpec]) -> Iterator[Event]:
        """Do the trainings; those that share a job end together."""
        waiting = self._submit(specs)
        try:
            while waiting:
                for job in list(waiting):
                    done = job.job.done()
                    if not job.begun and (done or job.job.state == "RUNNING"):
                        job.begun = True
                        yield from map(UnitStarted, job.specs)
                    if done:
                        waiting.remove(job)
                        yield from self._ended(job)
                time.sleep(SECONDS_BETWEEN_LOOKS if waiting else 0)
        finally:
            for job in waiting:
                job.job.cancel(check=False)

    def _submit(self, specs: Sequence[RunSpec]) -> list[_Job]:
        """Submit one array for each set of parameters."""
        numbers, groups, jobs = self.numbers(), dict[str, list[RunSpec]](), list[_Job]()
        for spec in specs:
            groups.setdefault(repr(self._parameters_of(spec)), []).append(spec)
        for alike in groups.values():
            parameters, size = self._parameters_of(alike[0]), self._bundle(alike[0])
            bundles = [alike[start : start + size] for start in range(0, len(alike), size)]
            work = partial(do_units, *self.given)
            given = [[numbers[spec.key] for spec in bundle] for bundle in bundles]
            submitted = self._executor(self.folder.resolve() / JOBS, parameters).map_array(work, given)
            jobs += [_Job(job, bundle) for job, bundle in zip(submitted, bundles, strict=True)]
        return jobs

    def _ended(self, job: _Job) -> Iterator[Event]:
        """Take the answers of a job; units that it did not come to are failed, with the reason."""
        error = job.job.exception()
        answers = [] if error else job.job.result()
        for spec, answer in zip(job.specs, answers, strict=False):
            yield self.ended(spec, answer)
        for spec in job.specs[len(answers) :]:
            last = (str(error).strip().splitlines() or ["no message"])[-1]
            yield self.failed(spec, f"job {job.job.job_id} did not end it: {last}; see {job.job.paths.stderr}")

    def _bundle(self, spec: RunSpec) -> int:
        """Number of units of one job: a model that states its hours has a job of its own."""
        return 1 if "hours" in spec.record.resources else self.execution.bundle or BUNDLE

    def _parameters_of(self, spec: RunSpec) -> dict[str, Any]:
        """Parameters of submitit: those of the file, of the model's record, and of the file for the model."""
        own, size = spec.record.resources, self._bundle(spec)
        asked: dict[str, Any] = {"name": "cycseq-bench", "cpus_per_task": self.execution.threads}
        asked |= {"timeout_min": MINUTES_OF_SHORT_UNIT * size, "slurm_array_parallelism": self.execution.jobs}
        asked |= self.parameters
        if "memory_gb" in own:
            asked["mem_gb"] = own["memory_gb"]
        if "hours" in own:
            asked["timeout_min"] = int(own["hours"] * 60)
        if "gpus" in own and self.execution.device.startswith("cuda"):
            asked["gpus_per_node"] = int(own["gpus"])
        for entry in spec.sets:
            asked |= self.models.get(entry.model, {})
        return asked

    def _executor(self, folder: Path, parameters: Mapping[str, Any]) -> Any:
        """Make an executor of submitit with its files in a folder; raises `BenchmarkError` for parameters that it does not have."""
        try:
            executor = self.submitit.AutoExecutor(folder, cluster=self.cluster)
            executor.update_parameters(**parameters)
        except (TypeError, ValueError, NameError, AssertionError) as error:
            raise BenchmarkError(f"--cluster-file {self.execution.cluster_file}: {error}.") from error
        return executor


@dataclass
class _Job:
    """A job of submitit, and its units."""

    job: Any
    specs: Sequence[RunSpec]
    begun: bool = False


EXECUTOR = Slurm
