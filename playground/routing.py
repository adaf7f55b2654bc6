"""Websocket addresses of the playground."""

from django.urls import path

from playground.comparison_consumer import ComparisonConsumer
from playground.consumers import ChatConsumer

websocket_urlpatterns = [
    path("ws/playground/compare/<str:row_id>/", ComparisonConsumer.as_asgi()),
    path("ws/playground/<str:row_id>/", ChatConsumer.as_asgi()),
]
