from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"

    def ready(self) -> None:
        """Register training's kinds of work with the queue's door."""
        from training import jobs, runs, tasks
        from training.datasets import versions

        tasks.register(tasks.Kind("train", tasks.HEAVY, runs.train, jobs.reap, jobs.unheard))
        tasks.register(
            tasks.Kind("read", tasks.LIGHT, versions.read, versions.READ.reap, versions.READ.unheard)
        )
        tasks.register(
            tasks.Kind(
                "count", tasks.LIGHT, versions.count, versions.COUNT.reap, versions.COUNT.unheard
            )
        )
