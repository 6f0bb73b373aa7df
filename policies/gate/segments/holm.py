"""Holm's step-down over questions that a judge answers at a given error, so that it works at every look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """`alpha` is the error at which the question was answered last: yes at it, or not even at it."""

    proven: bool
    alpha: float


def step_down(questions: Sequence[Callable[[float], bool]], *, alpha: float) -> tuple[Answer, ...]:
    """Which of m questions are proven, with probability at most `alpha` that any of those is wrongly.

    Each question is a function of the error that may be spent on it; it must not turn from proven to unproven as the
    error grows. While k are unproven each of these is asked at alpha / k, until a round proves nothing: the same set
    as comparing ordered p-values with alpha / m, alpha / (m - 1), ... Valid under any dependence; and as "proven by
    this look" only ever grows with the looks, at all looks together. Source: Holm 1979.
    """
    answers = [Answer(proven=False, alpha=0.0)] * len(questions)
    while unproven := [i for i, answer in enumerate(answers) if not answer.proven]:
        level = alpha / len(unproven)
        for i in unproven:
            answers[i] = Answer(proven=questions[i](level), alpha=level)
        if not any(answers[i].proven for i in unproven):
            break
    return tuple(answers)
