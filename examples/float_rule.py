"""Float aggregators of one's own: one in torch, and one that is a Flower Strategy's arithmetic.

    float_aggregators = { mine = "float_rule:clipped_mean", flower = "float_rule:fedavg_of_flower" }

in the files of a task's aggregators and validators; the task has rule = "float(mine)" and arithmetic = "float".
"""

from collections.abc import Sequence

import numpy as np
import torch

from offchain.learning.float_aggregators import StrategyAggregate


def clipped_mean(updates: Sequence[np.ndarray], weights: Sequence[int]) -> np.ndarray:
    """The weighted mean of updates whose norms are cut to their median."""
    stacked = torch.from_numpy(np.stack(updates)).double()
    norms = stacked.norm(dim=1)
    scale = (norms.median() / norms.clamp(min=1e-12)).clamp(max=1.0)
    shares = torch.tensor(weights, dtype=torch.float64)
    return ((shares * scale / shares.sum()) @ stacked).float().numpy()


def fedavg_of_flower(updates: Sequence[np.ndarray], weights: Sequence[int]) -> np.ndarray:
    """Any Strategy that keeps nothing from round to round does; this one needs `pip install flwr`."""
    from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server.strategy import FedAvg

    return StrategyAggregate(FedAvg, ndarrays_to_parameters, parameters_to_ndarrays)(updates, weights)
