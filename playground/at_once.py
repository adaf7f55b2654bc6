"""How many answers one user may have under way at once, through one door of this process."""

from collections import Counter

from training.errors import UserError


class AtOnce:
    """Answers under way by user."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: Counter[object] = Counter()

    def take(self, owner: object) -> None:
        """Raises: UserError `too_many_answers`."""
        if self.taken[owner] >= self.most:
            raise UserError("too_many_answers", limit=self.most)
        self.taken[owner] += 1

    def give_back(self, owner: object) -> None:
        self.taken[owner] -= 1
        self.taken += Counter()  # forget those who have none
