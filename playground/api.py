"""The REST door of talking: load and unload a model. Holds no rules."""

from typing import Literal

from django.http import HttpRequest
from ninja import Router, Schema

from playground import client
from training import naming
from training.models import TunedModel

router = Router(tags=["models"])


class Loaded(Schema):
    id: str
    object: Literal["model"] = "model"
    state: Literal["away", "loading", "ready", "failed"]


@router.post("/models/{model_id}/load", response=Loaded)
def load(request: HttpRequest, model_id: str) -> dict:
    """Begin to load a model into memory, or say how far it is."""
    name = _engine_name(request, model_id)
    client.load(name)
    return {"id": model_id, "state": client.state(name).state}


@router.post("/models/{model_id}/unload", response=Loaded)
def unload(request: HttpRequest, model_id: str) -> dict:
    """Take a model out of memory."""
    name = _engine_name(request, model_id)
    client.unload(name)
    return {"id": model_id, "state": client.state(name).state}


def _engine_name(request: HttpRequest, model_id: str) -> str:
    """Return the engine's name for a model of the user's. Raises: UserError `model_unknown`."""
    found = naming.find(request.user, model_id)
    return f"tuned:{found.pk}" if isinstance(found, TunedModel) else f"base:{found.slug}"
