"""Every error Sluice raises on purpose, as one tree; nothing branches on the text of a message.

SluiceError                 exit 1   something is wrong; the message says where and what to do next
├── UsageError              exit 2   the command or its arguments do not fit
├── ConfigurationError      exit 2   a contract, task or settings file is wrong (file and line)
├── InputError              exit 1   a file of the log cannot be read at all (file and line)
├── StoreError              exit 1   the store is missing, of another format, or damaged
│   └── IntegrityError      exit 1   stored bytes do not match their hash
├── ContractViolation       exit 3   the data breaks its contract; nothing is trained on it
├── DegenerateData          exit 4   empty, one-action or non-finite data: no policy can come of it
├── TrainingDiverged        exit 4   a loss or a weight stopped being finite
├── BudgetSpent             exit 4   the period's slots or its loss budget are used up; says when they free
└── Busy                    exit 5   another run holds the task, or the champion moved meanwhile
"""

from __future__ import annotations


class SluiceError(Exception):
    """Base of all deliberate errors.

    `<what is wrong> in <which object>: expected <rule>, got <value or count>. <what to do next>.`
    """

    exit_code = 1
    retryable = False

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.fields: dict[str, object] = fields


class UsageError(SluiceError):
    exit_code = 2


class ConfigurationError(SluiceError):
    """A YAML file is wrong; `fields["problems"]` lists every mistake as (file, line, message)."""

    exit_code = 2


class InputError(SluiceError):
    """A log file as a whole cannot be read (missing column, wrong header, not Parquet)."""


class StoreError(SluiceError):
    pass


class IntegrityError(StoreError):
    """Stored bytes do not match their recorded hash; `fields["path"]` names the file."""


class ContractViolation(SluiceError):
    exit_code = 3


class DegenerateData(SluiceError):
    exit_code = 4


class TrainingDiverged(SluiceError):
    exit_code = 4


class BudgetSpent(SluiceError):
    """Nothing can be judged before `fields["frees_at"]` (a datetime; None: not by waiting)."""

    exit_code = 4


class Busy(SluiceError):
    exit_code = 5
    retryable = True
