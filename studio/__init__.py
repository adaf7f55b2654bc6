from studio.celery import app as celery_app  # shared_task binds to it in every Django process

__all__ = ["celery_app"]
