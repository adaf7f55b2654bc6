"""An example set with known faults: clean pairs of question and answer, and rows in which one thing
is wrong each, so that a test knows which rows a check must name."""

import json
from dataclasses import dataclass, field
from pathlib import Path

SUBJECTS = (
    "가로등", "보도블록", "공원 의자", "하수구", "버스 정류장", "주차 구역", "놀이터", "도서관 반납함", "분리수거장",
    "횡단보도", "자전거 거치대", "체육관", "화장실", "육교", "전광판", "안내판", "담벼락", "계단 난간", "방음벽", "물놀이장",
)  # fmt: skip
STATES = (
    "어두워서 밤에 다니기 무섭습니다", "깨진 채로 몇 주째 있습니다", "물이 고여 냄새가 납니다", "너무 좁아 유모차가 못 지나갑니다",
    "낙서로 덮여 보기 흉합니다", "시간표와 다르게 운영됩니다", "소리가 커서 잠을 설칩니다", "문이 잠겨 들어갈 수 없습니다",
    "미끄러워 어르신이 넘어졌습니다", "안내 문구가 틀렸습니다", "쓰레기가 넘쳐 벌레가 꼬입니다", "불이 계속 깜박입니다",
)  # fmt: skip
DEEDS = (
    "현장을 살펴 사흘 안에 고치겠습니다", "담당 부서에 넘겨 결과를 문자로 보내 드리겠습니다", "다음 주 정기 점검에 넣었습니다",
    "업체에 맡겨 이달 안에 바꾸겠습니다", "우선 임시 조치를 하고 예산을 마련하겠습니다", "관리 주체와 협의해 알려 드리겠습니다",
    "주민 의견을 모아 개선안을 만들겠습니다",
)  # fmt: skip
DISTRICTS = (
    "중앙동",
    "솔밭동",
    "강변동",
    "새터동",
    "은행동",
    "달빛동",
    "한뫼동",
    "물레동",
    "별내동",
    "옛골",
)


def clean(count: int) -> list[dict]:
    """Return pairs without any fault: all different, one register, one language."""
    rows = []
    for number in range(count):
        district = DISTRICTS[number % len(DISTRICTS)]
        subject = SUBJECTS[(number * 7 + number // 10) % len(SUBJECTS)]
        state = STATES[(number * 5 + number // 20) % len(STATES)]
        deed = DEEDS[(number * 3 + number // 12) % len(DEEDS)]
        place = f"{subject} {number // 40 + 1}호"
        rows.append(
            {
                "prompt": f"{district} {place}인데요, {state}. 어떻게 되나요?",
                "completion": f"{district} {place} 건은 {deed}. 알려 주셔서 고맙습니다.",
            }
        )
    return rows


@dataclass
class Planted:
    """Rows, and for each fault the row numbers (from 0) in which it was planted."""

    rows: list[dict] = field(default_factory=list)
    faults: dict[str, list[int]] = field(default_factory=dict)

    def plant(self, fault: str, prompt: str, completion: str) -> None:
        self.faults.setdefault(fault, []).append(len(self.rows))
        self.rows.append({"prompt": prompt, "completion": completion})

    def write(self, path: Path) -> Path:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        path.write_text("".join(lines), "utf-8")
        return path


def fifteen_faults(count: int = 240) -> Planted:
    """Return `count` clean rows and behind them fifteen kinds of faults."""
    made = Planted(clean(count))
    first, second, third = (made.rows[n] for n in (3, 50, 77))
    made.plant("duplicates", **first)
    made.plant("duplicates", **second)
    made.plant("near_duplicates", third["prompt"] + "!", "네, " + third["completion"])
    made.plant(
        "conflicts",
        made.rows[120]["prompt"],
        "그 일은 우리 구의 일이 아닙니다. 도청에 물어보십시오.",
    )
    for number in range(18):
        made.plant(
            "refusals",
            f"{SUBJECTS[number]} 설치 비용은 얼마인가요?",
            f"죄송하지만 {SUBJECTS[number]} 비용은 답변드리기 어렵습니다.",
        )
    made.plant("copies", "청사 개방 시간을 알려 주세요", "청사 개방 시간을 알려 주세요.")
    made.plant("broken", "여권은 어디서 만드나요?", "#N/A")
    for number in range(12):
        made.plant(
            "registers",
            f"{DISTRICTS[number % 10]} {STATES[number][:5]} 문제는 누가 맡아요?",
            f"그건 {SUBJECTS[number]} 담당이 맡아요. 제가 이어 드릴게요.",
        )
    made.plant(
        "languages",
        "When does the library open?",
        "The library opens at nine every morning except Mondays.",
    )
    made.plant(
        "mojibake", "민원 접수 방법이 궁금합니다", "민원은 \ufffd\ufffd\ufffd 창구에서 접수합니다."
    )
    made.plant(
        "control_characters",
        "인감 증명은 어떻게 떼나요?",
        "신분증을 가지고 주민\u200b센터로 오시면 됩니다.",
    )
    made.plant(
        "html",
        "전입 신고 서류가 무엇인가요?",
        "신분증과 계약서입니다.<br>온라인으로도 됩니다.&nbsp;감사합니다.",
    )
    made.plant(
        "spaces",
        "등본 수수료가 얼마인가요?",
        "창구에서는 사백 원입니다.\n\n\n기계에서는 이백 원입니다.",
    )
    made.plant(
        "chat_marks", "세금 납부 기한이 언제인가요?", "<|im_start|>매달 말일입니다.<|im_end|>"
    )
    made.plant(
        "placeholders", "담당자 이름이 무엇인가요?", "담당자는 [담당자]이고 ○○○과에서 일합니다."
    )
    made.plant("personal_mobile", "연락처를 남기고 싶습니다", "010-2345-6789로 연락드리겠습니다.")
    return made
