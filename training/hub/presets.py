"""Models that people in Korea use, as facts: what one should know before fetching it.

Taken from the makers' own model pages. What could not be looked up there is named in `unverified`,
and the card says so. Numbers of bytes and parameters are approximate.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from training.hub import ids

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Words = str | _StrPromise

LICENCE, CONTEXT, SIZE, GATE = _("라이선스"), _("최대 길이"), _("크기"), _("약관 동의")
ALL = (LICENCE, CONTEXT, SIZE, GATE)


@dataclass(frozen=True)
class Preset:
    repo: str
    label: str
    maker: str
    parameters: int
    size_bytes: int
    """Of the weights as they are fetched."""
    context_length: int
    """In tokens."""
    licence: str
    korean: "Words"
    """What its Korean is like, in a few words."""
    speaks_korean: bool = True
    is_made_for_korean: bool = False
    """Whether its makers aimed at Korean before other languages."""
    is_gated: bool = False
    """Whether the hub wants terms to be accepted, and a token."""
    is_noncommercial: bool = False
    note: "Words" = ""
    unverified: "tuple[Words, ...]" = ()
    """The facts that were not found on the maker's page."""
    linear_sides: int = 0
    """As of a base (training/bases.py); known once its weights are here."""

    @property
    def slug(self) -> str:
        return ids.slug(self.repo)


KOREAN_FIRST = _("한국어에 맞춘 모델")
KOREAN_ENGLISH = _("한국어와 영어를 함께 배운 모델")
MANY = _("여러 언어를 배운 모델, 한국어도 씀")
LITTLE = _("한국어는 공식 지원 언어가 아님")
PRESETS = (
    Preset(
        repo="naver-hyperclovax/HyperCLOVAX-SEED-Text-Instruct-0.5B",
        label="HyperCLOVA X SEED 0.5B", maker="NAVER", parameters=570_000_000,
        size_bytes=1_140_000_000, context_length=4096, licence="HyperCLOVA X SEED",
        korean=KOREAN_FIRST, is_made_for_korean=True, note=_("회사에서 쓸 때의 조건이 라이선스에 있습니다."),
        unverified=(SIZE, GATE),
    ),
    Preset(
        repo="naver-hyperclovax/HyperCLOVAX-SEED-Text-Instruct-1.5B",
        label="HyperCLOVA X SEED 1.5B", maker="NAVER", parameters=1_590_000_000,
        size_bytes=3_170_000_000, context_length=16_384, licence="HyperCLOVA X SEED",
        korean=KOREAN_FIRST, is_made_for_korean=True, note=_("회사에서 쓸 때의 조건이 라이선스에 있습니다."),
        unverified=(SIZE, GATE),
    ),
    Preset(
        repo="kakaocorp/kanana-1.5-2.1b-instruct-2505", label="Kanana 1.5 2.1B", maker="Kakao",
        parameters=2_090_000_000, size_bytes=4_170_000_000, context_length=32_768,
        licence="Apache-2.0", korean=KOREAN_ENGLISH, is_made_for_korean=True, unverified=(LICENCE, CONTEXT),
    ),
    Preset(
        repo="kakaocorp/kanana-nano-2.1b-instruct", label="Kanana Nano 2.1B", maker="Kakao",
        parameters=2_090_000_000, size_bytes=4_170_000_000, context_length=8192,
        licence="CC-BY-NC-4.0", korean=KOREAN_ENGLISH, is_made_for_korean=True, is_noncommercial=True,
        unverified=(CONTEXT,),
    ),
    Preset(
        repo="LGAI-EXAONE/EXAONE-4.0-1.2B", label="EXAONE 4.0 1.2B", maker="LG AI Research",
        parameters=1_280_000_000, size_bytes=2_560_000_000, context_length=65_536,
        licence="EXAONE 1.2 - NC", korean=_("한국어, 영어, 스페인어를 함께 배운 모델"),
        is_made_for_korean=True,
        is_noncommercial=True, note=_("연구와 교육에만 쓸 수 있습니다."),
        unverified=(CONTEXT, SIZE),
    ),
    Preset(
        repo="skt/A.X-4.0-Light", label="A.X 4.0 Light", maker="SK Telecom",
        parameters=7_260_000_000, size_bytes=14_500_000_000, context_length=16_384,
        licence="Apache-2.0", korean=KOREAN_FIRST, is_made_for_korean=True, unverified=(LICENCE, SIZE),
    ),
    Preset(
        repo="konantech/Konan-LLM-OND", label="Konan LLM OND", maker="Konan Technology",
        parameters=4_000_000_000, size_bytes=8_100_000_000, context_length=32_768,
        licence="Apache-2.0", korean=KOREAN_FIRST, is_made_for_korean=True, unverified=ALL,
    ),
    Preset(
        repo="Qwen/Qwen3-0.6B", label="Qwen3 0.6B", maker="Alibaba", parameters=600_000_000,
        size_bytes=1_500_000_000, context_length=32_768, licence="Apache-2.0", korean=MANY,
        unverified=(SIZE,),
    ),
    Preset(
        repo="Qwen/Qwen3-1.7B", label="Qwen3 1.7B", maker="Alibaba", parameters=1_720_000_000,
        size_bytes=4_060_000_000, context_length=32_768, licence="Apache-2.0", korean=MANY,
        unverified=(CONTEXT, SIZE),
    ),
    Preset(
        repo="Qwen/Qwen3-4B", label="Qwen3 4B", maker="Alibaba", parameters=4_020_000_000,
        size_bytes=8_050_000_000, context_length=32_768, licence="Apache-2.0", korean=MANY,
        unverified=(CONTEXT, SIZE),
    ),
    Preset(
        repo="google/gemma-3-270m-it", label="Gemma 3 270M", maker="Google",
        parameters=270_000_000, size_bytes=540_000_000, context_length=32_768, licence="Gemma",
        korean=MANY, is_gated=True, note=_("쓸 수 없는 용도가 라이선스에 적혀 있습니다."),
        unverified=(SIZE, GATE),
    ),
    Preset(
        repo="google/gemma-3-1b-it", label="Gemma 3 1B", maker="Google",
        parameters=1_000_000_000, size_bytes=2_000_000_000, context_length=32_768,
        licence="Gemma", korean=MANY, is_gated=True,
        note=_("쓸 수 없는 용도가 라이선스에 적혀 있습니다."), unverified=(CONTEXT, SIZE, GATE),
    ),
    Preset(
        repo="meta-llama/Llama-3.2-1B-Instruct", label="Llama 3.2 1B", maker="Meta",
        parameters=1_230_000_000, size_bytes=2_470_000_000, context_length=131_072,
        licence="Llama 3.2", korean=LITTLE, speaks_korean=False, is_gated=True,
        note=_("학습한 모델을 나누어 줄 때의 조건(이름 등)이 라이선스에 있습니다."),
        unverified=(SIZE, GATE),
    ),
    Preset(
        repo="meta-llama/Llama-3.2-3B-Instruct", label="Llama 3.2 3B", maker="Meta",
        parameters=3_210_000_000, size_bytes=6_430_000_000, context_length=131_072,
        licence="Llama 3.2", korean=LITTLE, speaks_korean=False, is_gated=True,
        note=_("학습한 모델을 나누어 줄 때의 조건(이름 등)이 라이선스에 있습니다."),
        unverified=(SIZE, GATE),
    ),
)  # fmt: skip


def find(name: str) -> Preset | None:
    """Return the preset of a hub's id, of its folder here, or of a folder named like the model."""
    last = name.rpartition("/")[2].lower()
    for preset in PRESETS:
        if name in (preset.repo, preset.slug) or last == preset.repo.rpartition("/")[2].lower():
            return preset
    return None
