import multiprocessing
from dataclasses import dataclass

import pytest

from data_contracts.errors import Busy, SluiceError
from policies.processes import _outcome, run_jobs


@dataclass(frozen=True)
class Named:
    label: str


def refuse(job: Named, report: object) -> None:
    raise Busy("taken", task=job.label)


def stumble(job: Named, report: object) -> None:
    raise ZeroDivisionError("1 / 0")


def test_an_error_of_ours_crosses_with_its_fields_and_a_librarys_is_named() -> None:
    here, there = multiprocessing.Pipe()
    here.send(_outcome(Named("a"), refuse, there))
    error = there.recv()
    assert isinstance(error, Busy)
    assert error.fields == {"task": "a"}
    here.send(_outcome(Named("b"), stumble, there))
    error = there.recv()
    assert type(error) is SluiceError
    assert "error in b: expected it to finish, got ZeroDivisionError: 1 / 0" in str(error)
    assert "stumble" in error.fields["traceback"]


def test_a_parent_that_is_gone_ends_the_job() -> None:
    here, there = multiprocessing.Pipe()
    here.close()
    with pytest.raises(BrokenPipeError):
        _outcome(Named("a"), lambda job, report: report(1, 2), there)


def test_no_jobs_start_no_process() -> None:
    run_jobs([], refuse, workers=2, progress=None)
    assert not multiprocessing.active_children()
