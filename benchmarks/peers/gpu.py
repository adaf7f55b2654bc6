"""What is asked of a GPU, where there is one."""

import resource

import torch


def settle() -> None:
    """Wait until it has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_mb() -> float:
    """Return the most memory that this process took: the GPU's where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
