from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"

    def ready(self) -> None:
        """Register training's kinds of work with the queue's door."""
        from training import forecast, jobs, runs
        from training.datasets.reports import CHECK
        from training.datasets.versions import COUNT, READ
        from training.hub import downloads
        from training.tasks import HEAVY, LIGHT, Kind, register

        register(Kind("train", HEAVY, runs.train, jobs.reap, jobs.unheard))
        register(Kind("read", LIGHT, runs.read, READ.reap, READ.unheard))
        register(Kind("count", LIGHT, runs.count, COUNT.reap, COUNT.unheard))
        register(Kind("check", LIGHT, runs.check, CHECK.reap, CHECK.unheard))
        fetching = (downloads.fetch, downloads.DESK.reap, downloads.unheard)
        register(Kind("fetch", LIGHT, *fetching, is_long=True))
        register(Kind("measure", LIGHT, forecast.measure, lambda: 0, lambda: ()))
