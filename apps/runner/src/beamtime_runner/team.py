"""Several processes that train one model together, as `torchrun` starts them: each learns from its rows of the batch.

The batch is shared among seats, as many as the job asked for GPUs. Each process takes as many seats as the others, one
after the other: with half of the processes each does the work of two. A seat's rows, its random numbers and the order
in which the seats' gradients are added do not depend on who takes it, so a run that goes on with another number of
processes ends with the same bits (the idea of EasyScale, Li et al., SC'23, whose virtual workers our seats are).

The sum is a tree: neighbouring seats are added in pairs, those sums again in pairs, as long as that comes out even;
what is left, an odd number of sums, is added from the first to the last. A process adds its own seats; between
processes each pair exchanges its sums and adds them (recursive doubling, Thakur, Rabenseifner and Gropp 2005). Adding
two numbers gives the same bits in either order, so all processes end with the same.

The first process prepares the data, writes and speaks; the others only compute.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any


def halvings(count: int) -> list[int]:
    """A count and its halves, as long as they come out even: 12, 6, 3."""
    found = [count]
    while found[-1] % 2 == 0:
        found.append(found[-1] // 2)
    return found


@dataclass
class Team:
    rank: int
    size: int
    local_rank: int
    seats: int
    #: With whom this process adds what does not come out even; None where everything does.
    _remainder: Any = field(default=None, repr=False)

    @staticmethod
    def of_environment(seats: int | None = None) -> Team:
        """The team as torchrun tells it, with a seat for each process unless the job says how many there are."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        rank, size, local_rank = (
            int(os.environ.get(name, default)) for name, default in zip(names, "010", strict=True)
        )
        return Team(rank, size, local_rank, size if seats is None else seats)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def seats_here(self) -> range:
        """The seats that this process takes."""
        each = self.seats // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    @property
    def _block(self) -> int:
        """Processes whose sums come out even among each other: the largest power of two in their number."""
        return self.size & -self.size

    def join(self, device: Any) -> Any:
        """Meets the others; returns this process's device."""
        import torch

        if self.size == 1:
            return device
        if device.type == "cuda":
            device = torch.device("cuda", self.local_rank)
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        if self._block < self.size:
            for place in range(self._block):
                group = torch.distributed.new_group(list(range(place, self.size, self._block)))
                if self.rank % self._block == place:
                    self._remainder = group
        return device

    def wait(self) -> None:
        if self.size > 1:
            import torch

            torch.distributed.barrier()

    def share(self, count: int, seat: int) -> range:
        """Which of `count` rows are a seat's."""
        each = count // self.seats
        return range(seat * each, (seat + 1) * each)

    def agree_to_stop(self, asked: bool, device: Any) -> bool:
        """Whether any process of the team was asked to; all of them ask at the same place."""
        if self.size == 1:
            return asked
        import torch

        wishes = torch.tensor(float(asked), device=device)
        torch.distributed.all_reduce(wishes)
        return bool(wishes > 0)

    def add_up(self, flat: Any) -> Any:
        """The sum of all processes' buffers [n], the same bits in each; `flat` is used up."""
        import torch

        if self.size == 1:
            return flat
        other = torch.empty_like(flat)
        step = 1
        while step < self._block:
            partner = self.rank ^ step
            swap = [
                torch.distributed.P2POp(torch.distributed.isend, flat, partner),
                torch.distributed.P2POp(torch.distributed.irecv, other, partner),
            ]
            for request in torch.distributed.batch_isend_irecv(swap):
                request.wait()
            flat += other
            step *= 2
        if self._remainder is None:
            return flat
        parts = [torch.empty_like(flat) for _ in range(self.size // self._block)]
        torch.distributed.all_gather(parts, flat, group=self._remainder)
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    def part(self) -> None:
        if self.size > 1:
            import torch

            torch.distributed.destroy_process_group()


class GradientSum:
    """Adds up the gradients of one step over the seats of a team."""

    def __init__(self, team: Team, parameters: list[Any]):
        self._team = team
        self._parameters = parameters
        self._learned: list[Any] = []  # the parameters that have gradients, the same ones for each seat
        self._sums: list[tuple[int, Any]] = []  # of so many seats each, the larger ones first

    def take(self, loss: Any, stop: bool) -> None:
        """A seat of this process is done: takes its gradients from the parameters, its loss, and the wish to stop."""
        import torch

        told = torch.stack([loss.float(), torch.tensor(float(stop), device=loss.device)])
        self._learned = [parameter for parameter in self._parameters if parameter.grad is not None]
        gradients = [parameter.grad.reshape(-1).float() for parameter in self._learned]
        total, seats = torch.cat([*gradients, told]), 1
        for parameter in self._learned:
            parameter.grad = None
        while self._sums and self._sums[-1][0] == seats:
            earlier = self._sums.pop()[1]
            earlier += total
            total, seats = earlier, 2 * seats
        self._sums.append((seats, total))

    def average(self) -> tuple[Any, bool]:
        """Leaves the mean gradients in the parameters; returns the mean loss, and whether any process was to stop."""
        ((_, mine),) = self._sums
        flat = self._team.add_up(mine)
        at = 0
        for parameter in self._learned:
            part = flat[at : at + parameter.numel()] / self._team.seats
            parameter.grad = part.view_as(parameter).to(parameter.dtype)
            at += parameter.numel()
        return flat[-2] / self._team.seats, bool(flat[-1] > 0)
