"""A torch module as one vector. Skipped where torch is not installed."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  (after the skip)

from offchain.learning.modules import FlatModule, ModuleError  # noqa: E402  (after the skip)


def make_module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))


def test_order_is_registration_order_row_major() -> None:
    module = make_module()
    expected = np.concatenate([parameter.detach().numpy().ravel() for parameter in module.parameters()])
    flat = FlatModule(module)
    assert flat.length == len(expected)
    assert flat.flatten().dtype == np.float32
    assert np.array_equal(flat.flatten(), expected)


def test_a_vector_survives_the_round_trip_into_another_module() -> None:
    one, other = FlatModule(make_module()), FlatModule(make_module())
    other.unflatten(one.flatten())
    assert np.array_equal(one.flatten(), other.flatten())
    inputs = torch.ones(2, 1, 4, 4)
    assert torch.equal(one.module(inputs), other.module(inputs))
    for name, parameter in one.module.state_dict().items():
        assert torch.equal(parameter, other.module.state_dict()[name])


def test_flatten_is_a_copy() -> None:
    flat = FlatModule(make_module())
    before = flat.flatten()
    flat.unflatten(np.zeros(flat.length))
    assert before.any()
    assert not flat.flatten().any()


def test_gradients_land_in_one_vector() -> None:
    module = nn.Linear(2, 1)
    flat = FlatModule(module)
    for factor in (1, 2):  # they add up until they are zeroed
        module(torch.tensor([[3.0, 5.0]])).sum().backward()
        assert flat.gradients.tolist() == [factor * 3.0, factor * 5.0, factor * 1.0]


def test_a_shared_parameter_is_one_part_of_the_vector() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    module[1].weight = module[0].weight
    flat = FlatModule(module)
    assert flat.length == 16
    flat.unflatten(np.arange(16))
    assert torch.equal(module[0].weight, module[1].weight)


def test_a_frozen_parameter_travels() -> None:
    module = make_module()
    module[0].weight.requires_grad_(False)
    flat = FlatModule(module)
    flat.unflatten(np.ones(flat.length))
    assert bool((module[0].weight == 1).all())
    module(torch.ones(1, 1, 4, 4)).sum().backward()
    assert not flat.gradients[: module[0].weight.numel()].any()


def test_refuses_batch_norm_and_names_the_remedy() -> None:
    with pytest.raises(ModuleError, match=r"1\.running_mean.*use GroupNorm"):
        FlatModule(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))


def test_a_constant_buffer_stays_out() -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("scale", torch.ones(2), persistent=False)
    assert FlatModule(module).length == 6


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_refuses_other_types(dtype: torch.dtype) -> None:
    with pytest.raises(ModuleError, match="make it float32 on the CPU"):
        FlatModule(nn.Linear(2, 2).to(dtype))


def test_refuses_a_module_without_anything_to_train() -> None:
    with pytest.raises(ModuleError, match="no parameters to train"):
        FlatModule(nn.ReLU())
    with pytest.raises(ModuleError, match="no parameters to train"):
        FlatModule(nn.Linear(2, 2).requires_grad_(False))


def test_refuses_a_vector_of_another_length() -> None:
    with pytest.raises(ModuleError, match="not the same network"):
        FlatModule(make_module()).unflatten(np.zeros(7))
