"""The learners: d3rlpy's discrete CQL, BCQ and BC, driven through their `update`.

Imported by policies.algorithms.create alone, because torch and d3rlpy load with it.
Everything Atari-sized in d3rlpy's defaults (learning rate, batch, target interval, shared encoder) is set
here from AlgorithmSettings. Two overrides make a step several times cheaper without changing its losses:
the Q network runs once per batch instead of twice, and nothing is bootstrapped where every row is terminal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from data_contracts.errors import UsageError
from policies.algorithms import AlgorithmSettings

with contextlib.redirect_stderr(io.StringIO()):  # gym, which d3rlpy 2.8.1 imports, prints its farewell
    from d3rlpy.algos import (
        DiscreteBC,
        DiscreteBCConfig,
        DiscreteBCQ,
        DiscreteBCQConfig,
        DiscreteCQL,
        DiscreteCQLConfig,
    )
    from d3rlpy.algos.qlearning.base import QLearningAlgoBase
    from d3rlpy.algos.qlearning.torch.bcq_impl import DiscreteBCQImpl, DiscreteBCQLoss
    from d3rlpy.algos.qlearning.torch.cql_impl import DiscreteCQLImpl, DiscreteCQLLoss
    from d3rlpy.dataset import TransitionMiniBatch
    from d3rlpy.models import VectorEncoderFactory
    from d3rlpy.optimizers import AdamFactory
    from d3rlpy.torch_utility import TorchMiniBatch

# Of an imitator's mean squared log-probability. Source: discrete BCQ code of Fujimoto et al. (2019); d3rlpy has .5.
IMITATION_PENALTY = 0.01
MASKED = 1e3  # how far below the least score BCQ puts an action it rules out, in units of 1 + spread of the scores


class GradientLearner:
    """A d3rlpy algorithm and the module that scores with its networks."""

    def __init__(self, algorithm: QLearningAlgoBase, scores: nn.Module) -> None:
        self.algorithm = algorithm
        self._scores = scores

    def update(self, batch: TransitionMiniBatch) -> dict[str, float]:
        losses: dict[str, float] = self.algorithm.update(batch)
        return losses

    def scores_module(self) -> nn.Module:
        return self._scores

    def start_from(self, weights: Mapping[str, NDArray[np.float32]]) -> int:
        shared = _shared_weights(self._scores, weights)
        self._scores.load_state_dict(shared, strict=False)
        if hasattr(self.algorithm.impl, "update_target"):
            self.algorithm.impl.update_target()
        return len(shared)


def conservative(settings: AlgorithmSettings, *, n_features: int, n_actions: int, seed: int) -> GradientLearner:
    """Discrete CQL. Source: Kumar et al. (2020), CQL(H), on double DQN."""
    config = DiscreteCQLConfig(
        **_common(settings),
        gamma=settings.gamma,
        n_critics=1,
        target_update_interval=settings.target_update_interval,
        alpha=settings.conservatism,
    )
    algorithm = _create(_Conservative(config, False, False), n_features, n_actions, seed)
    return GradientLearner(algorithm, QScores(_network(algorithm.impl.modules.q_funcs[0])))


def batch_constrained(settings: AlgorithmSettings, *, n_features: int, n_actions: int, seed: int) -> GradientLearner:
    """Discrete BCQ. Source: Fujimoto et al. (2019), "Benchmarking Batch Deep Reinforcement Learning Algorithms"."""
    config = DiscreteBCQConfig(
        **_common(settings),
        gamma=settings.gamma,
        n_critics=1,
        target_update_interval=settings.target_update_interval,
        action_flexibility=min(max(settings.action_flexibility, 1e-30), 1 - 1e-6),  # d3rlpy: ratio > log(this)
        beta=IMITATION_PENALTY,
        share_encoder=False,
    )
    algorithm = _create(_BatchConstrained(config, False, False), n_features, n_actions, seed)
    modules = algorithm.impl.modules
    scores = ConstrainedScores(_network(modules.q_funcs[0]), _network(modules.imitator), settings.action_flexibility)
    return GradientLearner(algorithm, scores)


def cloning(settings: AlgorithmSettings, *, n_features: int, n_actions: int, seed: int) -> GradientLearner:
    """Behavior cloning: scores are the logits of the logged action."""
    config = DiscreteBCConfig(**_common(settings), beta=IMITATION_PENALTY)
    algorithm = _create(DiscreteBC(config, False, False), n_features, n_actions, seed)
    return GradientLearner(algorithm, ImitationScores(_network(algorithm.impl.modules.imitator)))


def _common(settings: AlgorithmSettings) -> dict[str, Any]:
    return {
        "learning_rate": settings.learning_rate,
        "batch_size": settings.batch_size,
        "encoder_factory": VectorEncoderFactory(list(settings.hidden_units)),
        "optim_factory": _FusedAdam(),
    }


def _create(algorithm: QLearningAlgoBase, n_features: int, n_actions: int, seed: int) -> QLearningAlgoBase:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        algorithm.create_impl((n_features,), n_actions)
    return algorithm


def _network(head: Any) -> nn.Sequential:
    """d3rlpy's network as plain layers with the same weights: its own forward returns a record, which no ONNX holds."""
    return nn.Sequential(*head._encoder._layers, head._fc)


class QScores(nn.Module):
    """Action values."""

    def __init__(self, q: nn.Sequential) -> None:
        super().__init__()
        self.q = q

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.q(features)
        return values


class ConstrainedScores(nn.Module):
    """Action values where the imitator's probability ratio reaches `flexibility`; far below the least one elsewhere."""

    def __init__(self, q: nn.Sequential, imitator: nn.Sequential, flexibility: float) -> None:
        super().__init__()
        self.q = q
        self.imitator = imitator
        self.least_log_ratio = math.log(flexibility) if flexibility > 0 else -math.inf

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.q(features)
        logits = self.imitator(features)
        log_ratio = logits - logits.max(dim=1, keepdim=True).values
        least, most = values.min(dim=1, keepdim=True).values, values.max(dim=1, keepdim=True).values
        return torch.where(log_ratio >= self.least_log_ratio, values, least - MASKED * (1 + most - least))


class ImitationScores(nn.Module):
    """Logits of the logged action."""

    def __init__(self, imitator: nn.Sequential) -> None:
        super().__init__()
        self.imitator = imitator

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.imitator(features)
        return logits


@dataclasses.dataclass()
class _FusedAdam(AdamFactory):  # type: ignore[misc]
    """Adam in one kernel; same updates as d3rlpy's, to rounding."""

    def create_optimizer(self, named_modules: Iterable[tuple[str, nn.Module]], lr: float) -> torch.optim.Optimizer:
        parameters = {id(p): p for _, module in named_modules for p in module.parameters()}
        return torch.optim.Adam(parameters.values(), lr=lr, betas=self.betas, eps=self.eps, fused=True)


class _NoIdleTarget:
    """Skips the next-state networks when every row is terminal: their value is multiplied by 0."""

    def compute_target(self, batch: TorchMiniBatch) -> torch.Tensor:
        if bool(batch.terminals.all()):
            return torch.zeros_like(batch.rewards)
        target: torch.Tensor = super().compute_target(batch)  # type: ignore[misc]
        return target


class _ConservativeStep(_NoIdleTarget, DiscreteCQLImpl):  # type: ignore[misc]
    """CQL's loss from one forward pass; d3rlpy makes one for each of its two terms."""

    def compute_loss(self, batch: TorchMiniBatch, q_tpn: torch.Tensor) -> DiscreteCQLLoss:
        values = self._q_func_forwarder.compute_expected_q(batch.observations)
        chosen = values.gather(1, batch.actions.long())
        td_loss = functional.huber_loss(chosen, _target(self, batch, q_tpn))
        conservative_loss = (torch.logsumexp(values, dim=1, keepdim=True) - chosen).mean()
        loss = td_loss + self._alpha * conservative_loss
        return DiscreteCQLLoss(loss=loss, td_loss=td_loss, conservative_loss=conservative_loss)


class _BatchConstrainedStep(_NoIdleTarget, DiscreteBCQImpl):  # type: ignore[misc]
    """BCQ's loss without the checks of a distribution object; its penalty is on log-probabilities, as d3rlpy's is."""

    def compute_loss(self, batch: TorchMiniBatch, q_tpn: torch.Tensor) -> DiscreteBCQLoss:
        action = batch.actions.long()
        chosen = self._q_func_forwarder.compute_expected_q(batch.observations).gather(1, action)
        td_loss = functional.huber_loss(chosen, _target(self, batch, q_tpn))
        imitator = self._modules.imitator
        log_probabilities = functional.log_softmax(imitator._fc(imitator._encoder(batch.observations)), dim=1)
        penalty = self._beta * (log_probabilities**2).mean()
        imitator_loss = functional.nll_loss(log_probabilities, action.view(-1)) + penalty
        return DiscreteBCQLoss(loss=td_loss + imitator_loss, td_loss=td_loss, imitator_loss=imitator_loss)


def _target(step: Any, batch: TorchMiniBatch, q_tpn: torch.Tensor) -> torch.Tensor:
    target: torch.Tensor = batch.rewards + step._gamma**batch.intervals * q_tpn * (1 - batch.terminals)
    return target


class _Conservative(DiscreteCQL):  # type: ignore[misc]
    def inner_create_impl(self, observation_shape: tuple[int, ...], action_size: int) -> None:
        super().inner_create_impl(observation_shape, action_size)
        self._impl = _ConservativeStep(**_parts(self, observation_shape, action_size), alpha=self.config.alpha)


class _BatchConstrained(DiscreteBCQ):  # type: ignore[misc]
    def inner_create_impl(self, observation_shape: tuple[int, ...], action_size: int) -> None:
        super().inner_create_impl(observation_shape, action_size)
        self._impl = _BatchConstrainedStep(
            **_parts(self, observation_shape, action_size),
            action_flexibility=self.config.action_flexibility,
            beta=self.config.beta,
        )


def _parts(algorithm: Any, observation_shape: tuple[int, ...], action_size: int) -> dict[str, Any]:
    """What d3rlpy has just built, for our step in place of its own (names of d3rlpy 2.8.1, which is pinned)."""
    stock = algorithm.impl
    return {
        "observation_shape": observation_shape,
        "action_size": action_size,
        "modules": stock.modules,
        "q_func_forwarder": stock._q_func_forwarder,
        "targ_q_func_forwarder": stock._targ_q_func_forwarder,
        "target_update_interval": algorithm.config.target_update_interval,
        "gamma": algorithm.config.gamma,
        "compiled": False,
        "device": "cpu:0",
    }


def _shared_weights(scores: nn.Module, weights: Mapping[str, NDArray[np.float32]]) -> dict[str, torch.Tensor]:
    """The arrays of the networks (`q`, `imitator`) that `scores` and `weights` both have, checked to fit."""
    own = {name: tuple(value.shape) for name, value in scores.state_dict().items()}
    given = {name: value.shape for name, value in weights.items()}
    both = {_part(name) for name in own} & {_part(name) for name in given}
    expected, got = ({n: s for n, s in shapes.items() if _part(n) in both} for shapes in (own, given))
    if expected != got:
        raise UsageError(
            f"cannot start from the earlier version: expected weights of shapes {expected}, got {got}. "
            "Keep hidden_units, actions and observation columns, or train afresh."
        )
    return {name: torch.tensor(weights[name]) for name in expected}


def _part(name: str) -> str:
    return name.partition(".")[0]
