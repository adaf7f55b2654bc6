import contextlib

from django.apps import AppConfig

from training.errors import UserError


class PlaygroundConfig(AppConfig):
    name = "playground"

    def ready(self) -> None:
        """Have the engine give way to training, and let go of models that are deleted."""
        from training import registry, tasks
        from training.hub import library

        tasks.before_heavy(give_way)
        registry.BEFORE_FORGETTING.append(let_go)
        library.BEFORE_REMOVING.append(let_base_go)


def give_way() -> None:
    from playground import client

    with contextlib.suppress(UserError):  # no engine, nothing held
        client.release()


def let_go(tuned: object) -> None:
    unload(f"tuned:{tuned.pk}")


def let_base_go(base: object) -> None:
    unload(f"base:{base.slug}")


def unload(name: str) -> None:
    from playground import client

    with contextlib.suppress(UserError):
        client.unload(name)
