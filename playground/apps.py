import contextlib

from django.apps import AppConfig

from training.errors import UserError


class PlaygroundConfig(AppConfig):
    name = "playground"

    def ready(self) -> None:
        """Have the engine give way to training, and let go of models that are deleted."""
        from training import registry, tasks

        tasks.before_heavy(give_way)
        registry.BEFORE_FORGETTING.append(let_go)


def give_way() -> None:
    from playground import client

    with contextlib.suppress(UserError):  # no engine, nothing held
        client.release()


def let_go(tuned: object) -> None:
    from playground import client

    with contextlib.suppress(UserError):
        client.unload(f"tuned:{tuned.pk}")
