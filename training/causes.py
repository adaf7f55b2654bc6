"""What an attempt died of: how its trainer ended goes in, {"code", "params"} of wording.py comes out."""

from training.errors import NO_ROOM, UserError
from training.supervise import Outcome

KILLED = -9


def of_crash(outcome: Outcome) -> dict:
    """Say what a trainer that ended by itself, or was ended, died of."""
    if outcome.exit_code != KILLED:
        return UserError("trainer_crashed", exit_code=outcome.exit_code).as_dict()
    code = "out_of_memory" if outcome.was_short_of_memory else "trainer_killed"
    return UserError(code).as_dict()


def of_refusal(error: dict) -> dict:
    """Say what a trainer gave up for. A loss that was no number before anything was learnt is not the
    learning rate's doing."""
    if error["code"] == "loss_not_a_number" and error["params"].get("step", 0) <= 1:
        return UserError("loss_never_a_number").as_dict()
    return error


def of_disk(error: OSError) -> dict:
    """Say why a run's folder could not be laid out."""
    if error.errno in NO_ROOM:
        return UserError("disk_full").as_dict()
    return UserError("disk_trouble", reason=error.strerror or str(error)).as_dict()
