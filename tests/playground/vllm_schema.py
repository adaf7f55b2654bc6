"""What vLLM's server takes, as its documentation lists it, with nothing else let through.

vLLM itself ignores fields that it does not know; here they are refused, so that a misspelt one is
found. Sources, read in November 2026: docs.vllm.ai, "OpenAI-Compatible Server" (Completions API:
sampling parameters and extra parameters), "LoRA Adapters" (Using API Endpoints), and the bounds that
its SamplingParams documents.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

TokenId = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float, Field(strict=False, allow_inf_nan=False)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Stop = Annotated[str, Field(min_length=1)]


class Documented(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StreamOptions(Documented):
    include_usage: Flag | None = None
    continuous_usage_stats: Flag | None = None


class Completion(Documented):
    """POST /v1/completions. What only other kinds of servers use is left out."""

    # of OpenAI's API
    model: str | None = None
    prompt: list[TokenId] | list[list[TokenId]] | str | list[str]
    echo: Flag | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Number] | None = None
    logprobs: int | None = None
    max_tokens: Annotated[int, Field(ge=0, strict=True)] | None = 16
    n: Annotated[int, Field(ge=1, strict=True)] = 1
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    seed: Int64 | None = None
    stop: Stop | list[Stop] | None = None
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    suffix: None = None
    temperature: Annotated[Number, Field(ge=0)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    user: str | None = None
    # sampling parameters of its own
    use_beam_search: Flag = False
    top_k: Annotated[int, Field(ge=-1, strict=True)] | None = None
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[Number, Field(gt=0)] | None = None
    length_penalty: Number = 1.0
    stop_token_ids: list[TokenId] | None = None
    include_stop_str_in_output: Flag = False
    ignore_eos: Flag = False
    min_tokens: Annotated[int, Field(ge=0, strict=True)] = 0
    skip_special_tokens: Flag = True
    spaces_between_special_tokens: Flag = True
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, strict=True)] | None = None
    truncation_side: Literal["left", "right"] | None = None
    allowed_token_ids: list[TokenId] | None = None
    prompt_logprobs: int | None = None
    bad_words: list[str] = []
    # extra parameters of its own
    add_special_tokens: Flag = True
    priority: Int64 = 0
    request_id: str = ""
    return_tokens_as_token_ids: Flag | None = None
    return_token_ids: Flag | None = None
    cache_salt: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def options_are_for_streams(self) -> "Completion":
        if self.stream_options and not self.stream:
            raise ValueError("Stream options can only be defined when `stream=True`.")
        return self


class LoadAdapter(Documented):
    """POST /v1/load_lora_adapter"""

    lora_name: Annotated[str, Field(min_length=1)]
    lora_path: Annotated[str, Field(min_length=1)]
    load_inplace: Flag = False


class UnloadAdapter(Documented):
    """POST /v1/unload_lora_adapter"""

    lora_name: Annotated[str, Field(min_length=1)]
    lora_int_id: int | None = None
