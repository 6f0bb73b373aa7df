"""Independent jobs in spawned processes, one thread each; a process that dies is named, never waited for."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, Protocol, TypeVar

from data_contracts.errors import SluiceError


class Labelled(Protocol):
    """A job says what it is, for progress and errors; it must pickle, as must the function that does it."""

    @property
    def label(self) -> str: ...


Job = TypeVar("Job", bound=Labelled)
Report = Callable[[int, int], None]  # (done, total) of the job at hand
Progress = Callable[[str, int, int], None]  # (label, done, total)


@dataclass(slots=True)
class _Worker(Generic[Job]):
    process: BaseProcess
    connection: Connection
    job: Job | None = None


def run_jobs(
    jobs: Sequence[Job], function: Callable[[Job, Report], None], *, workers: int, progress: Progress | None
) -> None:
    """Run `function(job, report)` once for every job, on at most `workers` processes that live for many jobs.

    Raises the SluiceError of the first job that fails, or one that names the job whose process died, and
    ends the other processes: what they were to leave behind they must have committed in one step.
    """
    waiting = deque(jobs)
    pool = [_start(function) for _ in range(min(workers, len(jobs)))]
    try:
        while True:
            for worker in pool:
                if worker.job is None and waiting:
                    worker.job = waiting.popleft()
                    _send(worker)
            busy = [worker.connection for worker in pool if worker.job is not None]
            if not busy:
                return
            ready = wait(busy)
            for worker in pool:
                if worker.connection in ready:
                    _receive(worker, progress)
    finally:
        for worker in pool:
            worker.process.kill()
        for worker in pool:
            worker.process.join()
            worker.connection.close()


def _start(function: Callable[[Job, Report], None]) -> _Worker[Job]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, function), daemon=True)
    process.start()
    theirs.close()  # so that the pipe ends when the process does
    return _Worker(process, ours)


def _send(worker: _Worker[Job]) -> None:
    try:
        worker.connection.send(worker.job)
    except OSError as error:
        raise _died(worker) from error


def _receive(worker: _Worker[Job], progress: Progress | None) -> None:
    try:
        message = worker.connection.recv()
    except (EOFError, OSError) as error:
        raise _died(worker) from error
    if isinstance(message, SluiceError):
        raise message
    if message is None:
        worker.job = None
    elif progress is not None and worker.job is not None:
        progress(worker.job.label, *message)


def _died(worker: _Worker[Job]) -> SluiceError:
    worker.process.join(timeout=10)
    label = worker.job.label if worker.job is not None else "start"
    return SluiceError(
        f"process died in {label}: expected it to finish, got exit code {worker.process.exitcode} "
        "(-9 is often a lack of memory). Run it again: finished jobs are kept; use fewer workers if it recurs.",
        job=label,
        exit_code=worker.process.exitcode,
    )


def _serve(connection: Connection, function: Callable[[Job, Report], None]) -> None:
    """The process: jobs in, (done, total) and then None or a SluiceError out, until the other end closes."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    with threadpool_limits(limits=1):
        while True:
            try:
                job = connection.recv()
                connection.send(_outcome(job, function, connection))
            except (EOFError, BrokenPipeError):
                return


def _outcome(job: Job, function: Callable[[Job, Report], None], connection: Connection) -> SluiceError | None:
    try:
        function(job, lambda done, total: connection.send((done, total)))
    except BrokenPipeError:
        raise
    except SluiceError as error:
        return error
    except Exception as error:  # a library's: it crosses the pipe as text
        return SluiceError(
            f"unexpected error in {job.label}: expected it to finish, got {type(error).__name__}: {error}. "
            "The traceback is in the error's fields.",
            job=job.label,
            traceback=traceback.format_exc(),
        )
    return None
