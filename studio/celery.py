"""The Celery application: a doorbell. Rows are the truth, so no results and early acknowledgement."""

import os

from celery import Celery
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
TRANSPORT_ALIASES["embedded"] = "studio.broker:Transport"
app = Celery("dadeum")


REDIS = {
    "visibility_timeout": 12 * 3600,
    "socket_connect_timeout": 5,
    "socket_timeout": 10,  # a page must not hang where the broker does
    "socket_keepalive": True,
}


def options() -> dict:
    """Return the broker's transport options for the configured broker."""
    if not settings.BROKER_URL.startswith("embedded"):
        return REDIS if settings.BROKER_URL.startswith("redis") else {}
    places = {name: settings.BROKER_FOLDER / name for name in ("queue", "processed")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "data_folder_in": str(places["queue"]),
        "data_folder_out": str(places["queue"]),
        "processed_folder": str(places["processed"]),
        "store_processed": True,
        "polling_interval": 0.2,
    }


app.conf.update(
    broker_url=settings.BROKER_URL,
    broker_transport_options=options(),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=False,
    task_default_queue="light",
    task_routes={"dadeum.heavy": {"queue": "heavy"}, "dadeum.light": {"queue": "light"}},
    task_create_missing_queues=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_timer_precision=0.2,  # seconds that a stop waits for its timer
    timezone=settings.TIME_ZONE,
)
app.autodiscover_tasks(["training"])
