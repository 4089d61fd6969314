"""Several processes that train one model together, as `torchrun` starts them: each learns from its rows of the batch.

Gradients are added in one flat buffer whose layout never changes, so that a run cut off and resumed by as many
processes ends with the same bits. The first process prepares the data, writes and speaks; the others only compute.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any


@dataclass
class Team:
    rank: int
    size: int
    local_rank: int

    @staticmethod
    def of_environment() -> Team:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        rank, size, local_rank = (
            int(os.environ.get(name, default)) for name, default in zip(names, "010", strict=True)
        )
        return Team(rank, size, local_rank)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def join(self, device: Any) -> Any:
        """Meets the others; returns this process's device."""
        import torch

        if self.size == 1:
            return device
        if device.type == "cuda":
            device = torch.device("cuda", self.local_rank)
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return device

    def wait(self) -> None:
        if self.size > 1:
            import torch

            torch.distributed.barrier()

    def share(self, count: int) -> range:
        """Which of `count` rows are this process's."""
        each = count // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def average(self, parameters: list[Any], loss: Any, stop: bool) -> tuple[Any, bool]:
        """Averages the gradients in place; returns the mean loss, and whether any process was asked to stop."""
        import torch

        if self.size == 1:
            return loss, stop
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        told = torch.stack([loss.float(), torch.tensor(float(stop), device=loss.device)])
        flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients] + [told])
        torch.distributed.all_reduce(flat)
        at = 0
        for gradient in gradients:
            gradient.copy_((flat[at : at + gradient.numel()] / self.size).view_as(gradient))
            at += gradient.numel()
        return flat[-2] / self.size, bool(flat[-1] > 0)

    def part(self) -> None:
        if self.size > 1:
            import torch

            torch.distributed.destroy_process_group()
