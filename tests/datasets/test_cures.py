"""What a cure makes of a row: the fault is gone, the rest is as it was."""

import pytest

from training.chat import Example, Message
from training.datasets.check import cures


def mended(key: str, text: str, how: str = "normalise", **params) -> str | None:
    example = Example((Message("user", "질문입니다"), Message("assistant", text)))
    found = cures.rewritten(example, cures.mend(key, how, params))
    return found and found.messages[1].content


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("control_characters", "보이지\u200b 않는\x07 글자", "보이지 않는 글자"),
        ("control_characters", "가족 👨\u200d👩 사진", "가족 👨\u200d👩 사진"),
        ("spaces", "  앞뒤 빈칸 \n", "앞뒤 빈칸"),
        ("spaces", "빈 줄\n \n\n\n하나로", "빈 줄\n\n하나로"),
        ("spaces", "넓은      사이", "넓은 사이"),
        ("spaces", "| 가 |    나 |", "| 가 |    나 |"),
        ("spaces", "\n    들여 쓴 줄\n    그대로 \n", "    들여 쓴 줄\n    그대로"),
        ("spaces", "값    수\n가      1", "값    수\n가      1"),
        ("spaces", "```\na = 1\n\n\nb = 2    # 둘\n```", "```\na = 1\n\n\nb = 2    # 둘\n```"),
        ("html", "example.org/?a=1&copy=2&nbsp;끝", "example.org/?a=1&copy=2 끝"),
        ("html", "<ul>\n  <li>하나</li>\n  <li>둘</li>\n</ul>", "하나\n\n둘"),
        ("html", "첫 줄<br>둘째&nbsp;줄<p class='a'>셋째</p>", "첫 줄\n둘째 줄\n셋째"),
        ("html", "&lt;b&gt;굵게&lt;/b&gt; 3 < 5", "굵게 3 < 5"),
        ("chat_marks", "<|im_start|>네.<|im_end|>", "네."),
        ("chat_marks", "답변: 네, 그렇습니다.", "네, 그렇습니다."),
    ],
)
def test_a_text_is_normalised(key, before, after):
    assert mended(key, before) == after


def test_labels_get_their_usual_spelling():
    spellings = {"교통과": "교통과"}
    assert mended("label_spellings", " 교통과. ", spellings=spellings) == "교통과"
    assert mended("label_spellings", "건축과", spellings=spellings) == "건축과"


def test_personal_data_is_masked_by_kind():
    text = "010-2345-6789 또는 mina@example.com으로 연락하세요."
    assert (
        mended("personal_mobile", text, "mask", kinds=["mobile"])
        == "[전화번호] 또는 mina@example.com으로 연락하세요."
    )
    assert "example" not in mended("personal_email", text, "mask", kinds=["email"])


def test_a_row_of_which_nothing_is_left_goes():
    assert mended("chat_marks", "<|im_end|>") is None


def test_a_number_that_the_question_names_is_masked_in_the_answer():
    """«계좌번호» stands in one content, the number in the next; line ends stay where they are."""
    said = ("은행 업무\n상담원입니다.", "제 계좌번호가\n뭐예요?", "110-123-456789입니다.\n")
    roles = ("system", "user", "assistant")
    example = Example(tuple(map(Message, roles, said)))
    found = cures.rewritten(example, cures.mend("personal_account", "mask", {"kinds": ["account"]}))
    assert found
    contents = [one.content for one in found.messages]
    assert contents == [*said[:2], "[계좌번호]입니다.\n"]
