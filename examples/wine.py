"""A network and data of one's own: scikit-learn's 178 wines of three cultivars, each client with its share of them."""

import numpy as np
from sklearn.datasets import load_wine
from torch import nn

from offchain.interfaces import Int32Vector
from offchain.learning.data import ClientData, Examples, split_test
from offchain.learning.trainer import TorchTrainer, compute_initial_model

FRACTION_BITS = 14  # as in the task's parameters: real value = integer / 2^14


def build_network() -> nn.Module:
    return nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))


def make_trainer(client: int, clients: int) -> TorchTrainer:
    inputs, labels = load_wine(return_X_y=True)
    scaled = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    wines = Examples(scaled.astype(np.float32), labels)
    train, test = split_test(labels, 0.25, seed=0)
    mine = ClientData(wines.select(train[client::clients]), wines.select(test))
    return TorchTrainer(build_network, mine, FRACTION_BITS)


def make_model(seed: int) -> Int32Vector:
    return compute_initial_model(build_network, FRACTION_BITS, seed)
