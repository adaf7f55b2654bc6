"""The best step of a run by its loss on held-back examples: kept, waited for, and taken in the end.

What it knows lies in the run's `history`, which goes with each checkpoint, so that a run that goes
on judges as one that was never interrupted.
"""

from torch import nn

from training.trainer import checkpoint
from training.trainer.order import Order, say


class Best:
    def __init__(
        self, order: Order, parameters: dict[str, nn.Parameter], history: dict, keeps: bool = True
    ) -> None:
        """Where several processes train, one `keeps` the weights for all."""
        self.order, self.parameters, self.history = order, parameters, history
        self.keeps = keeps

    @property
    def is_wanted(self) -> bool:
        return self.order.patience > 0

    @property
    def is_over(self) -> bool:
        """Whether a better step is waited for no longer."""
        return self.is_wanted and self.history.get("no_better", 0) >= self.order.patience

    def see(self, step: int, loss: float, *, is_last: bool) -> None:
        """Take note of the loss at a step, and keep its weights where it is the best so far; those of the
        last step are the model's own. What it was before the first step is no result of training."""
        if not self.is_wanted or not step:
            return
        if loss >= self.history.get("best_loss", float("inf")):
            self.history["no_better"] += 1
            return
        self.history |= {"best_loss": loss, "best_step": step, "no_better": 0}
        if self.keeps and not is_last:
            checkpoint.save_best(self.order.folder, step, self.parameters, {"loss": loss})
        say("best", step=step, validation_loss=loss)

    def take(self, step: int) -> None:
        """Put the best weights back into the model, if they are others than those of the last step."""
        best_step = self.history.get("best_step", step)
        if not self.is_wanted or best_step == step:
            return
        if folder := checkpoint.best(self.order.run, best_step):
            checkpoint.load_weights(folder, self.parameters)
            self.history["validation_loss"] = self.history["best_loss"]
        else:  # it was damaged: what was learnt last is better than nothing
            say("best_lost", step=step, best_step=best_step)
            self.history["best_step"] = step
