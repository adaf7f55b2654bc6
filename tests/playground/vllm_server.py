"""A stand-in for a server of vLLM, on loopback: its routes and shapes as documented, every request
checked against them (vllm_schema.py), and a real small model that transformers and PEFT run.

Adapters are read from the path that a request names. An answer goes out in pieces that are cut
anywhere, as a network would. `fault` has it fail in one of the ways that servers do.
"""

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from pydantic import ValidationError
from vllm_schema import Completion, LoadAdapter, UnloadAdapter

PIECE_BYTES = 11
"""So that lines, and characters within them, are cut in the middle."""
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]


class Refused(Exception):
    """An error as the server words it."""

    def __init__(
        self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None
    ) -> None:
        error = {"message": message, "type": kind, "param": param, "code": status}
        self.status, self.body = status, {"error": error}


class VllmServer:
    def __init__(
        self, folder: Path, *, served: str = "", key: str = "", max_model_len: int = 512,
        takes_adapters: bool = True, has_lora: bool = True, max_lora_rank: int = 16, port: int = 0,
        certificate: Path | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.served = folder, served or str(folder)
        self.key, self.max_model_len = key, max_model_len
        self.takes_adapters, self.has_lora = takes_adapters, has_lora
        self.max_lora_rank = max_lora_rank
        self.fault = ""
        """die, break, cut, abort, garbage, flat, gateway, redirect or hang: see where it is asked for."""
        self.says: list[str] = []
        """Said instead of what the model would say."""
        self.adapters: dict[str, str] = {}
        self.calls: list[tuple[str, dict]] = []
        self.outside: list[str] = []
        """Requests that the documentation does not allow."""
        self.visits = 0
        self.aborted = 0
        self.running = 0
        self._model = self._tokenizer = None
        self._lock = threading.Lock()
        config = uvicorn.Config(
            self, host="127.0.0.1", port=port, log_level="critical", lifespan="off", ws="none",
            ssl_certfile=certificate, ssl_keyfile=certificate and certificate.with_suffix(".key"),
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.name = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if certificate else 'http'}://{self.name}"

    def end(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    def called(self, path: str) -> list[dict]:
        return [body for called, body in self.calls if called == path]

    # --- HTTP -----------------------------------------------------------------------------------

    async def __call__(self, scope: dict, receive, send) -> None:
        path, headers = scope["path"], dict(scope["headers"])
        self.visits += 1
        try:
            if self.fault == "hang":
                await asyncio.sleep(30)
            if self.fault == "redirect":
                place = f"{self.url}/elsewhere{path}".encode()
                return await _send(send, 307, b"", [(b"location", place)])
            if self.fault == "gateway":
                return await _send(send, 502, b"<h1>Bad Gateway</h1>")
            if path.startswith("/v1") and not self._may(headers):
                return await _send_json(send, 401, {"error": "Unauthorized"})
            body = json.loads(await _read(receive) or b"{}")
            self.calls.append((path, body))
            if body and headers.get(b"content-type") != b"application/json":
                raise Refused(400, "Unsupported Media Type: Only 'application/json' is allowed")
            await self._route(scope["method"], path, body, receive, send)
        except ValidationError as error:
            self.outside.append(f"{path}: {error}")
            await _send_json(send, 400, Refused(400, str(error)).body)
        except Refused as refusal:
            await _send_json(send, refusal.status, refusal.body)

    def _may(self, headers: dict) -> bool:
        return not self.key or headers.get(b"authorization") == f"Bearer {self.key}".encode()

    async def _route(self, method: str, path: str, body: dict, receive, send) -> None:
        match method, path:
            case "GET", "/health":
                await _send(send, 200, b"")
            case "GET", "/v1/models":
                await _send_json(send, 200, self._models())
            case "POST", "/v1/completions":
                await self._completions(Completion.model_validate(body), receive, send)
            case "POST", "/v1/load_lora_adapter" if self.takes_adapters:
                said = await asyncio.to_thread(self._load, LoadAdapter.model_validate(body))
                await _send(send, 200, said.encode())
            case "POST", "/v1/unload_lora_adapter" if self.takes_adapters:
                said = self._unload(UnloadAdapter.model_validate(body))
                await _send(send, 200, said.encode())
            case _:
                await _send_json(send, 404, {"detail": "Not Found"})

    # --- models and adapters --------------------------------------------------------------------

    def _models(self) -> dict:
        base = _card(self.served, str(self.folder), None, self.max_model_len)
        adapters = [_card(name, path, self.served) for name, path in self.adapters.items()]
        return {"object": "list", "data": [base, *adapters]}

    def _load(self, wanted: LoadAdapter) -> str:
        name, folder = wanted.lora_name, Path(wanted.lora_path)
        if name in self.adapters and not wanted.load_inplace:
            raise Refused(400, f"The lora adapter '{name}' has already been loaded.", "InvalidUserInput")  # fmt: skip
        if not self.has_lora:
            raise Refused(500, "LoRA is not enabled. Use --enable-lora to enable LoRA.", "InternalServerError")  # fmt: skip
        settings = folder / "adapter_config.json"
        if not settings.is_file():
            raise Refused(404, f"Loading lora {name} failed: No adapter found for {folder}", "NotFoundError")  # fmt: skip
        rank = json.loads(settings.read_text())["r"]
        if rank > self.max_lora_rank:
            raise Refused(500, f"LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}.", "InternalServerError")  # fmt: skip
        with self._lock:
            self._attach(name, folder)
            self.adapters[name] = str(folder)
        return f"Success: LoRA adapter '{name}' added successfully."

    def _unload(self, wanted: UnloadAdapter) -> str:
        name = wanted.lora_name
        if name not in self.adapters:
            raise Refused(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        with self._lock:
            del self.adapters[name]
        return f"Success: LoRA adapter '{name}' removed successfully."

    def _attach(self, name: str, folder: Path) -> None:
        from peft import PeftModel

        self._wake()
        key = name.replace(":", "_")
        if isinstance(self._model, PeftModel):
            if key not in self._model.peft_config:
                self._model.load_adapter(folder, key)
        else:
            self._model = PeftModel.from_pretrained(self._model, folder, key)
        self._model.eval()

    def _wake(self) -> None:
        """Load the model, with weights in bfloat16 and everything else in fp32: so does our own engine on
        every machine, and with random weights the last digits decide what is said."""
        if self._model is None:
            import torch
            from tokenizers import Tokenizer
            from transformers import AutoModelForCausalLM

            self._tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
            self._model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32)
            for weights in self._model.parameters():
                weights.data = weights.data.bfloat16().float()
            self._model.eval()

    # --- talking --------------------------------------------------------------------------------

    def _check(self, wanted: Completion) -> None:
        if wanted.model not in (self.served, *self.adapters):
            raise Refused(404, f"The model `{wanted.model}` does not exist.", "NotFoundError", "model")  # fmt: skip
        asked, limit = len(wanted.prompt), self.max_model_len
        if asked + (wanted.max_tokens or 0) > limit:
            raise Refused(
                400, f"You passed {asked} input tokens and requested {wanted.max_tokens} output tokens."
                f" However, the model's context length is only {limit} tokens, resulting in a maximum"
                f" input length of {limit - (wanted.max_tokens or 0)} tokens.", param="input_tokens",
            )  # fmt: skip

    async def _completions(self, wanted: Completion, receive, send) -> None:
        if self.fault == "garbage":
            return await _send(send, 200, b"<html>\nnot what you look for\n</html>\n")
        if self.fault == "flat":  # an error as older versions shape it, with what was asked in it
            said = {"object": "error", "message": f"no: {wanted.prompt}", "code": 500}
            return await _send_json(send, 500, said)
        self._check(wanted)
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        is_cancelled = threading.Event()
        gone = asyncio.create_task(_disconnected(receive))
        sending = asyncio.create_task(self._stream(wanted, is_cancelled, send))
        self.running += 1
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self.aborted += 1
        finally:
            is_cancelled.set()
            self.running -= 1
            for task in (gone, sending):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def _stream(self, wanted: Completion, is_cancelled: threading.Event, send) -> None:
        options, prompt = wanted.stream_options, len(wanted.prompt)
        frame = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": wanted.model}  # fmt: skip
        usage: dict = {}
        await _send_piece(send, ": keep-alive\n\n")
        async for text, count, reason in self._generate(wanted, is_cancelled):
            usage = {"prompt_tokens": prompt, "total_tokens": prompt + count, "completion_tokens": count}  # fmt: skip
            told = {"usage": usage} if options and options.continuous_usage_stats else {}
            choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": None}  # fmt: skip
            await _send_event(send, frame | {"choices": [choice]} | told)
            if self.fault == "die":
                raise ConnectionAbortedError  # the server's process is gone
            if self.fault == "break":
                await _send_event(send, Refused(500, "Internal server error", "InternalServerError").body)  # fmt: skip
                break
            if self.fault == "cut":
                await _send_piece(send, 'data: {"id": "cmpl-\n\n')
        else:
            if options and options.include_usage:
                await _send_event(send, frame | {"choices": [], "usage": usage})
        await _send_piece(send, "data: [DONE]\n\n")
        await send({"type": "http.response.body", "body": b""})

    async def _generate(
        self, wanted: Completion, is_cancelled: threading.Event
    ) -> AsyncIterator[tuple[str, int, str | None]]:
        """Yield text that became certain, the tokens so far, and why it ended."""
        if self.says:
            for count, text in enumerate(self.says, start=1):
                yield text, count, "stop" if count == len(self.says) else None
            return
        stops = [wanted.stop] if isinstance(wanted.stop, str) else wanted.stop or []
        held, said = max((len(stop) - 1 for stop in stops), default=0), ""
        ids: list[int] = []
        ends = {*(wanted.stop_token_ids or []), self._wake() or self._model.config.eos_token_id}
        steps = iter(self._tokens(wanted, ends, is_cancelled))
        while (token := await asyncio.to_thread(next, steps, None)) is not None:
            ids.append(token)
            shown = ids[:-1] if token in ends else ids
            whole = self._tokenizer.decode(shown, skip_special_tokens=wanted.skip_special_tokens)
            cut = min((whole.find(stop) for stop in stops if stop in whole), default=-1)
            if self.fault == "abort":
                yield "", len(ids), "abort"
                return
            if cut >= 0 or token in ends or len(ids) == wanted.max_tokens:
                text = whole[:cut] if cut >= 0 else whole.rstrip("\ufffd")
                reason = "stop" if cut >= 0 or token in ends else "length"
                yield text[len(said) :], len(ids), reason
                return
            certain = whole[: len(whole) - held] if held else whole
            if whole.endswith("\ufffd") or len(certain) <= len(said):
                yield "", len(ids), None
            else:
                yield certain[len(said) :], len(ids), None
                said = certain

    def _tokens(
        self, wanted: Completion, ends: set[int], is_cancelled: threading.Event
    ) -> Iterator[int]:
        """Run the model, one token at a time, as transformers computes and penalises."""
        import torch
        from transformers import RepetitionPenaltyLogitsProcessor

        ids, past = torch.tensor([wanted.prompt]), None
        penalty = wanted.repetition_penalty or 1.0
        punish = RepetitionPenaltyLogitsProcessor(penalty) if penalty != 1 else None
        dice = torch.Generator().manual_seed(wanted.seed or 0)
        for _ in range(wanted.max_tokens or 0):
            if is_cancelled.is_set():
                return
            with self._lock, torch.no_grad(), self._speaking_as(wanted.model):
                fed = ids if past is None else ids[:, -1:]
                out = self._model(fed, past_key_values=past, use_cache=True)
            past, scores = out.past_key_values, out.logits[:, -1].float()
            scores = punish(ids, scores) if punish else scores
            if wanted.temperature:
                chances = (scores / wanted.temperature).softmax(-1)
                token = torch.multinomial(chances, 1, generator=dice)
            else:
                token = scores.argmax(-1, keepdim=True)
            ids = torch.cat([ids, token], dim=1)
            yield int(token)
            if int(token) in ends:
                return

    @contextlib.contextmanager
    def _speaking_as(self, name: str) -> Iterator[None]:
        from peft import PeftModel

        if not isinstance(self._model, PeftModel):
            yield
        elif name in self.adapters:
            self._model.set_adapter(name.replace(":", "_"))
            yield
        else:
            with self._model.disable_adapter():
                yield


def _card(name: str, root: str, parent: str | None, length: int | None = None) -> dict:
    return {
        "id": name, "object": "model", "created": int(time.time()), "owned_by": "vllm", "root": root,
        "parent": parent, "max_model_len": length, "permission": [{"object": "model_permission"}],
    }  # fmt: skip


async def _read(receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _disconnected(receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send, status: int, body: bytes, headers: list = []) -> None:  # noqa: B006
    headers = headers or [(b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_json(send, status: int, value: dict) -> None:
    await _send(send, status, json.dumps(value).encode(), [(b"content-type", b"application/json")])


async def _send_event(send, value: dict) -> None:
    """Letters as they are, as pydantic writes them; no line break of Unicode is hidden."""
    await _send_piece(send, f"data: {json.dumps(value, ensure_ascii=False)}\n\n")


async def _send_piece(send, text: str) -> None:
    raw = text.encode()
    for start in range(0, len(raw), PIECE_BYTES):
        piece = raw[start : start + PIECE_BYTES]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
