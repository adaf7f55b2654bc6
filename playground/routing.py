"""Websocket addresses of the playground."""

from django.urls import path

from playground.consumers import ChatConsumer

websocket_urlpatterns = [
    path("ws/playground/<str:conversation_id>/", ChatConsumer.as_asgi()),
]
