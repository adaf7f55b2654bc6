from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"

    def ready(self) -> None:
        """Register training's kinds of work with the queue's door, and have workers beat."""
        from training import forecast, heartbeats, jobs, runs  # noqa: F401 - workers beat
        from training.datasets import versions
        from training.datasets.reports import CHECK
        from training.hub import downloads
        from training.tasks import HEAVY, LIGHT, Kind, register

        register(Kind("train", HEAVY, runs.train, jobs.reap, jobs.unheard))
        register(Kind("read", LIGHT, runs.read, versions.reap, versions.READ.unheard))
        register(Kind("count", LIGHT, runs.count, versions.COUNT.reap, versions.COUNT.unheard))
        register(Kind("check", LIGHT, runs.check, CHECK.reap, CHECK.unheard))
        fetching = (downloads.fetch, downloads.DESK.reap, downloads.unheard)
        register(Kind("fetch", LIGHT, *fetching, is_long=True))
        register(Kind("measure", LIGHT, forecast.measure, lambda: 0, lambda: ()))
