"""Threads that compute one row together, each a stretch of its tokens from the first layer to the last.

Splitting every operation over the cores makes threads wait for one another thousands of times a step,
and each time for whatever else runs on their core. Lanes meet once a layer, where tokens of one must
see those of another.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import torch

MOST = 4
"""Lanes at most; more threads share them."""
LEAST_TOKENS = 64
"""Of a lane; a shorter row is computed by fewer."""


class Meeting:
    """Where lanes show one another what they found. All call it the same number of times."""

    def __init__(self, lanes: int) -> None:
        self._barrier = threading.Barrier(lanes)
        self._boards: tuple[list, list] = ([None] * lanes, [None] * lanes)

    def show(self, lane: int, turn: int, thing: Any) -> list:
        """Return what each lane shows. Two boards take turns: whoever writes on one again has met all
        the others since, and they had read it before they came.

        Raises: BrokenBarrierError if another lane has failed.
        """
        board = self._boards[turn % 2]
        board[lane] = thing
        self._barrier.wait()
        return list(board)

    def leave(self) -> None:
        """Tell the others that this lane will not come again."""
        self._barrier.abort()


@dataclass
class Lane:
    begin: int
    end: int
    """Its tokens in the row."""
    index: int = 0
    count: int = 1
    meeting: Meeting | None = None
    gifts: list[tuple[torch.nn.Parameter, torch.Tensor, torch.Tensor | None]] = field(
        default_factory=list
    )
    _turn: int = 0

    def meet(self, thing: Any) -> list:
        """Return what each lane brought to this point."""
        if self.meeting is None:
            return [thing]
        self._turn += 1
        return self.meeting.show(self.index, self._turn, thing)

    def give(self, parameter, gradient: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        """Add a gradient to a parameter, or to some of its rows."""
        if self.meeting is None:
            _add(parameter, gradient, rows)
        else:
            self.gifts.append((parameter, gradient, rows))

    def meet_with_gifts(self, thing: Any) -> list:
        """As `meet`, and add up what lanes have given until here: in their order, so that the same work
        gives the same sum, each parameter by one lane."""
        if self.meeting is None:
            return [thing]
        gifts, self.gifts = self.gifts, []
        found = self.meet((thing, gifts))
        add_up([given for _, given in found], self.index, self.count)
        return [thing for thing, _ in found]


def add_up(gifts: Sequence[list], first: int = 0, step: int = 1) -> None:
    """Add every `step`-th parameter's gradients of all lanes, which gave them in the same order."""
    for of_one in list(zip(*gifts, strict=True))[first::step]:
        for parameter, gradient, rows in of_one:
            _add(parameter, gradient, rows)


def _add(parameter, gradient: torch.Tensor, rows: torch.Tensor | None) -> None:
    if rows is not None:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad.index_add_(0, rows, gradient)
    elif parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient


class Lanes:
    """The threads, kept from row to row."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.count = max(n for n in range(1, MOST + 1) if threads % n == 0)
        self._pool = ThreadPoolExecutor(self.count - 1) if self.count > 1 else None

    def run(self, work: Callable[[Lane], float], costs_T: torch.Tensor) -> float:
        """Split a row so that each lane has its share of the costs; return the sum of what `work`
        gives for each lane."""
        count = min(self.count, max(1, len(costs_T) // LEAST_TOKENS))
        if count == 1 or self._pool is None:
            return work(Lane(0, len(costs_T)))
        meeting, ends = Meeting(count), _ends(costs_T, count)
        lanes = [
            Lane(begin, end, index, count, meeting)
            for index, (begin, end) in enumerate(zip([0, *ends], ends, strict=False))
        ]
        is_learning = torch.is_grad_enabled()

        def walk(lane: Lane) -> float:
            torch.set_num_threads(self.threads // count)
            try:
                with torch.set_grad_enabled(is_learning):
                    return work(lane)
            except BaseException:
                meeting.leave()
                raise

        others = [self._pool.submit(walk, lane) for lane in lanes[1:]]
        try:
            first = walk(lanes[0])
        except threading.BrokenBarrierError:  # another's fault, which is raised below
            first = 0.0
        finally:
            wait(others)
            torch.set_num_threads(self.threads)
        total = first + sum(other.result() for other in others)
        add_up([lane.gifts for lane in lanes])
        return total


def _ends(costs_T: torch.Tensor, count: int) -> list[int]:
    """Return where each lane's tokens end."""
    total = costs_T.cumsum(0)
    shares = total[-1] * torch.arange(1, count, dtype=total.dtype) / count
    ends = [0, *torch.searchsorted(total, shares).tolist()]
    for index in range(1, count):  # one token each at least
        ends[index] = max(ends[index], ends[index - 1] + 1)
    return [*ends[1:], len(costs_T)]
