"""The processes of one run: which part of its work is this one's, and what they come to together.

Whoever starts several, as `accelerate launch` does, says by WORLD_SIZE and RANK who is who. A process
alone sends nothing. All of them are on one machine and talk over its loopback.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import psutil
import torch
from torch import distributed, nn

from training.errors import UserError
from training.lm.load import device

T = TypeVar("T")
LOOPBACK = "127.0.0.1"
PATIENCE = timedelta(minutes=30)
"""How long the others wait for one that lives and says nothing: it may be writing a large checkpoint."""
BUCKET = 2**23
"""Gradients that are summed in one message, unless a single parameter has more: 32 MB in fp32."""


@dataclass(frozen=True)
class World:
    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> "World":
        """Meet the other processes; each takes the GPU of its number where there are any.

        Raises: UserError `too_few_gpus`.
        """
        world = cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
        if world.size > 1:
            world._meet()
        return world

    def _meet(self) -> None:
        gpus = torch.cuda.device_count()
        if gpus:
            if self.size > gpus:
                raise UserError("too_few_gpus", processes=self.size, gpus=gpus)
            torch.cuda.set_device(self.rank)
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = _loopback()
        meeting = os.environ.get("DADEUM_MEETING")
        distributed.init_process_group(
            "nccl" if gpus else "gloo",
            store=distributed.FileStore(meeting, self.size) if meeting else None,
            rank=self.rank, world_size=self.size, timeout=PATIENCE,
        )  # fmt: skip

    @property
    def leads(self) -> bool:
        """Whether this is the one process that tells, answers and writes for all."""
        return self.rank == 0

    def share(self, indices: Iterable[int], length: Callable[[int], int]) -> list[int]:
        """Return this process's part of some examples, about as many tokens as any other's; it may be
        none. All together have each example once."""
        mine, tokens = [], [0] * self.size
        for index in sorted(indices, key=length, reverse=True):
            taker = tokens.index(min(tokens))
            tokens[taker] += length(index)
            if taker == self.rank:
                mine.append(index)
        return mine

    def sum(self, *numbers: float) -> list[float]:
        """Return the sums of what all processes bring; each must call it."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=device())
        distributed.all_reduce(total)
        return total.tolist()

    def choice(self, options: Sequence[T], choose: Callable[[], T]) -> T:
        """Return which of some options the leader chose, while the others waited."""
        (place,) = self.sum(options.index(choose()) if self.leads else 0)
        return options[int(place)]

    def most(self, number: int) -> int:
        """Return the largest of the numbers that all processes bring; each must call it."""
        if self.size == 1:
            return number
        told = torch.tensor(number, device=device())
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        return int(told)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients, bit for bit the same; each must call it. One that
        had no example brings zeros."""
        if self.size == 1:
            return
        for bucket in _buckets(parameters):
            flat = torch.cat([_gradient(parameter).flatten() for parameter in bucket])
            distributed.all_reduce(flat)
            parts = flat.split([parameter.numel() for parameter in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                parameter.grad = part.view_as(parameter)


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    numbers = 0
    for parameter in parameters:
        if bucket and numbers + parameter.numel() > BUCKET:
            yield bucket
            bucket, numbers = [], 0
        bucket.append(parameter)
        numbers += parameter.numel()
    if bucket:
        yield bucket


def _loopback() -> str:
    """Return the name of the interface by which a machine talks to itself."""
    found = psutil.net_if_addrs().items()
    return next(name for name, each in found if any(one.address == LOOPBACK for one in each))
