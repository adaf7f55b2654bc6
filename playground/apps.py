import contextlib

from django.apps import AppConfig
from django.conf import settings

from training.errors import UserError


class PlaygroundConfig(AppConfig):
    name = "playground"

    def ready(self) -> None:
        """Have the engine give way to training, let go of models that are deleted, and be looked at
        where somebody asks whether all is well; have workers answer batches."""
        from playground import asking, batches
        from training import health, registry, tasks
        from training.hub import library

        tasks.before_heavy(give_way)
        registry.BEFORE_FORGETTING.append(let_go)
        library.BEFORE_REMOVING.append(let_base_go)
        health.register("engine", engine)
        health.register("engines", engines)
        answering = (asking.run, batches.DESK.reap, batches.unheard)
        tasks.register(tasks.Kind("batch", tasks.LIGHT, *answering, is_long=True))


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


def engine() -> object:
    """Find out whether the engine answers; without one nothing is wrong but the playground."""
    from playground import client
    from training.health import OFF, Finding

    if not settings.ENGINE_SOCKET:
        return Finding(OFF)
    loaded = [one for one in client.models().values() if one.state == "ready"]
    return Finding(figures={"models_loaded": len(loaded)})


def engines() -> object:
    """Find out which of the servers in DADEUM_ENGINES answer."""
    from playground import servers
    from training.health import DEGRADED, DOWN, OFF, OK, Finding

    found = {servers.name_of(url): listing.problem for url, listing in servers.look_at_all()}
    if not found:
        return Finding(OFF)
    lost = [problem for problem in found.values() if problem]
    status = (DOWN if len(lost) == len(found) else DEGRADED) if lost else OK
    servers = {name: problem.code if problem else OK for name, problem in found.items()}
    return Finding(status, {"servers": servers})
