"""A torch module as one float32 vector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Float32Vector = npt.NDArray[np.float32]


class ModuleError(ValueError):
    """A module that cannot be trained as one vector of parameters, or a vector that does not fit it."""


class FlatModule:
    """A module whose parameters are views of one float32 vector, and their gradients of another.

    Order: `module.named_parameters()` (registration order, depth first, a shared parameter once), each row-major.
    Frozen parameters travel too, and never change. Non-persistent buffers are constants and stay out; persistent ones
    (BatchNorm's running statistics) are state that no gradient moves, so a module with any is refused.
    """

    def __init__(self, module: nn.Module) -> None:
        parameters = dict(module.named_parameters())
        if not any(parameter.requires_grad for parameter in parameters.values()):
            raise ModuleError("the module has no parameters to train")
        for name, parameter in parameters.items():
            if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
                raise ModuleError(
                    f"parameter {name} is {parameter.dtype} on {parameter.device}; make it float32 on the CPU"
                )
        every_name = {name for name, _ in module.named_parameters(remove_duplicate=False)}
        state = sorted(module.state_dict().keys() - every_name)
        if state:
            raise ModuleError(
                f"the module keeps state outside its parameters ({', '.join(state)}), which would differ between "
                "clients; use GroupNorm or LayerNorm in place of BatchNorm, or register constants with persistent=False"
            )
        self.module = module
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters.values()])
        self.gradients = torch.zeros_like(self.values)
        start = 0
        for parameter in parameters.values():
            stop = start + parameter.numel()
            parameter.data = self.values[start:stop].view(parameter.shape)
            if parameter.requires_grad:
                parameter.grad = self.gradients[start:stop].view(parameter.shape)
            start = stop

    @property
    def length(self) -> int:
        """Number of values, D."""
        return self.values.numel()

    def flatten(self) -> Float32Vector:
        """Return a copy of all parameters, float32[D]."""
        vector: Float32Vector = self.values.numpy().copy()
        return vector

    def unflatten(self, vector: npt.NDArray[np.floating]) -> None:
        """Set all parameters from a real vector [D]; raises ModuleError if the length differs."""
        if vector.shape != (self.length,):
            raise ModuleError(
                f"a vector of shape {vector.shape} for a module of {self.length} parameters; "
                "the task's model and this client's module are not the same network"
            )
        self.values.copy_(torch.from_numpy(vector.astype(np.float32)))
