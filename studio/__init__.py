from training import lifeline

lifeline.attach()  # a web or worker process that `up` started ends with it

from studio.celery import app as celery_app  # noqa: E402 - shared_task binds to it

__all__ = ["celery_app"]
