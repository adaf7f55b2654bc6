"""Every sentence that explains a refusal or a failure: a code goes in, what happened and what to do
come out, in the reader's language. The only table of its kind; whoever raises knows codes only.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Words = str | _StrPromise

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sentence:
    what: str
    cure: str


SENTENCES: "dict[str, tuple[Words, Words]]" = {
    # --- anything ---------------------------------------------------------------------------
    "unexpected": (
        _("예상하지 못한 문제가 생겼습니다."),
        _("다시 시도하세요. 계속되면 관리자에게 기록을 보여 주세요."),
    ),
    "disk_full": (
        _("디스크에 남은 공간이 없어 저장하지 못했습니다."),
        _("쓰지 않는 모델이나 학습 데이터를 지워 공간을 만든 뒤 다시 시작하세요."),
    ),
    "disk_trouble": (
        _("디스크에 쓰지 못했습니다({reason})."),
        _("디스크의 남은 공간과 폴더 권한을 확인하세요."),
    ),
    # --- base models and the gate -----------------------------------------------------------
    "base_missing": (
        _("이 컴퓨터에 없는 기본 모델입니다: {slug}"),
        _("다른 기본 모델을 선택하거나, 관리자에게 모델 폴더를 넣어 달라고 하세요."),
    ),
    "base_unreadable": (
        _("모델 폴더 {folder}의 내용을 읽을 수 없습니다({reason})."),
        _("config.json과 chat_template.jinja가 원래 배포된 파일인지 확인하세요."),
    ),
    "gate_no_folder": (
        _("없거나 바로가기(링크)인 모델 폴더입니다: {folder}"),
        _("모델 폴더를 실제 폴더로 넣으세요."),
    ),
    "gate_missing": (
        _("모델 폴더 {folder}에 {file} 파일이 없습니다."),
        _("config.json, tokenizer.json, safetensors 파일이 모두 있는 폴더를 넣으세요."),
    ),
    "gate_link": (
        _("모델 폴더 {folder}의 {file} 파일은 바로가기(링크)라서 쓸 수 없습니다."),
        _("링크 대신 실제 파일을 복사해 넣으세요."),
    ),
    "gate_file": (
        _("모델 폴더 {folder}의 {file} 파일은 허용되지 않습니다."),
        _(
            "safetensors와 JSON, 토크나이저 파일만 남기세요. 실행되는 코드나 피클 파일은 안전하지 않아 받지 않습니다."
        ),
    ),
    "gate_too_large": (
        _("모델 폴더 {folder}의 {file} 파일이 너무 큽니다."),
        _("원래 배포된 파일이 맞는지 확인하세요."),
    ),
    "gate_unreadable": (
        _("모델 폴더 {folder}의 {file} 파일을 읽을 수 없습니다. 파일이 손상된 것 같습니다."),
        _("파일을 다시 받아 넣으세요."),
    ),
    "gate_key": (
        _("모델 폴더 {folder}의 {file}에 코드를 실행하게 하는 설정({key})이 있습니다."),
        _("그 설정 없이 동작하는 모델을 사용하세요."),
    ),
    "gate_number": (
        _("모델 폴더 {folder}의 {file}에서 {key} 값은 모델이 가질 수 없는 값입니다."),
        _("원래 배포된 파일이 맞는지 확인하고 다시 받아 넣으세요."),
    ),
    "tokenizer_unreadable": (
        _("모델 폴더 {folder}의 토크나이저를 읽을 수 없습니다."),
        _("tokenizer.json 파일을 다시 받아 넣으세요."),
    ),
    "template_unreadable": (
        _("모델 폴더 {folder}의 대화 템플릿에 문법 오류가 있습니다."),
        _("chat_template.jinja 파일을 다시 받아 넣으세요."),
    ),
    "template_unsupported": (
        _("모델 폴더 {folder}의 대화 템플릿이 지원하지 않는 기능을 씁니다: {reason}"),
        _("대화 템플릿을 고치거나 다른 기본 모델을 선택하세요."),
    ),
    "template_too_costly": (
        _(
            "모델 폴더 {folder}의 대화 템플릿이 정상보다 훨씬 많은 계산이나 메모리를 요구해 멈췄습니다."
        ),
        _("원래 배포된 템플릿이 맞는지 확인하거나, 다른 기본 모델을 선택하세요."),
    ),
    "template_refused": (
        _("이 기본 모델의 대화 템플릿이 이 대화를 받아들이지 않습니다: {reason}"),
        _("시스템 메시지나 역할의 순서를 바꾸거나, 다른 기본 모델을 선택하세요."),
    ),
    "template_not_a_prefix": (
        _("모델 폴더 {folder}의 대화 템플릿에서 답변이 시작되는 곳을 찾을 수 없습니다."),
        _("다른 기본 모델을 선택하세요."),
    ),
    "lora_no_layers": (
        _("이 기본 모델에는 PEFT로 학습할 수 있는 층이 없습니다({reason})."),
        _("전체 미세 조정(Full)을 선택하거나 다른 기본 모델을 선택하세요."),
    ),
    # --- starting a job ---------------------------------------------------------------------
    "job_without_name": (_("모델 이름이 없습니다."), _("2단계에서 모델 이름을 입력하세요.")),
    "job_without_data": (
        _("학습 데이터가 없습니다."),
        _("파일을 올리거나 URL을 입력하거나, 올려 둔 데이터를 선택하세요."),
    ),
    "job_not_draft": (
        _("«{name}» 학습은 이미 시작되어 바꿀 수 없습니다."),
        _("모델 관리에서 진행 상황을 확인하세요."),
    ),
    "job_is_live": (
        _("«{name}» 학습은 아직 진행 중이라 삭제할 수 없습니다."),
        _("먼저 취소하고, 멈춘 뒤에 삭제하세요."),
    ),
    "data_being_read": (
        _("학습 데이터를 아직 읽는 중입니다."),
        _("다 읽을 때까지 잠시 기다리세요."),
    ),
    "data_in_use": (
        _("«{name}» 데이터는 학습에 쓰여서 지금은 삭제할 수 없습니다."),
        _(
            "그 데이터로 시작한 학습을 모델 관리에서 먼저 삭제하세요. 취소되었거나 실패한 학습도 마찬가지입니다."
        ),
    ),
    "data_gone": (_("학습 데이터가 삭제되었습니다."), _("다른 데이터를 선택하세요.")),
    "draft_changed": (
        _("다른 창에서 설정이 바뀌었습니다."),
        _("아래 내용을 확인하고 다시 누르세요."),
    ),
    "data_unreadable": (_("먼저 읽을 수 있는 데이터를 올리세요."), ""),
    "too_few_examples": (
        _("쓸 수 있는 예제가 {count}개입니다. 미세 조정에는 {minimum}개 이상이 필요합니다."),
        _("예제를 더 모아 다시 올리세요."),
    ),
    "too_few_with_problems": (
        _("쓸 수 있는 예제가 {count}개입니다. 미세 조정에는 {minimum}개 이상이 필요합니다."),
        _("예제를 더 모으거나, 문제가 있는 줄을 고쳐 다시 올리세요."),
    ),
    "too_few_after_cutting": (
        _(
            "예제 {examples}개 가운데 {lost}개는 {limit}토큰까지 자르면 답변이 남지 않아, 쓸 수 있는 예제가 {count}개입니다. 미세 조정에는 {minimum}개 이상이 필요합니다."
        ),
        _(
            "«예제 최대 길이»를 늘리거나 예제를 짧게 고치세요. 가장 긴 예제는 {longest}토큰이고, 이 기본 모델은 {context}토큰까지 읽습니다."
        ),
    ),
    "too_few_within_the_base": (
        _(
            "예제 {examples}개 가운데 {lost}개는 이 기본 모델이 읽는 {limit}토큰 안에 들어오지 않아, 쓸 수 있는 예제가 {count}개입니다. 미세 조정에는 {minimum}개 이상이 필요합니다."
        ),
        _(
            "예제를 짧게 고치거나 더 길게 읽는 기본 모델을 선택하세요. 가장 긴 예제는 {longest}토큰입니다."
        ),
    ),
    "too_few_after_dropping": (
        _(
            "예제 {examples}개 가운데 {lost}개는 {limit}토큰보다 길어서 빼므로, 쓸 수 있는 예제가 {count}개입니다. 미세 조정에는 {minimum}개 이상이 필요합니다."
        ),
        _(
            "«예제 최대 길이»를 늘리거나 «긴 예제»를 «한계까지 자르기»로 바꾸세요. 가장 긴 예제는 {longest}토큰이고, 이 기본 모델은 {context}토큰까지 읽습니다."
        ),
    ),
    "examples_too_long": (
        _("예제 {count}개가 {limit}토큰보다 깁니다(가장 긴 예제 {longest}토큰)."),
        _(
            "긴 예제를 나누거나 줄이세요. 자르거나 빼고 학습하려면 «긴 예제» 설정(overflow)을 바꾸세요."
        ),
    ),
    "tokens_being_counted": (
        _("기본 모델의 토크나이저로 예제의 길이를 재는 중입니다."),
        _("잠시만 기다리세요."),
    ),
    "reading_crashed": (
        _("파일을 읽던 프로그램이 세 번 멈췄습니다."),
        _("파일이 지나치게 크거나 손상되지 않았는지 확인하고 다시 올리세요."),
    ),
    # --- a run that ended badly -------------------------------------------------------------
    "no_example_left": (
        _("{max_length}토큰까지 자르고 나니 답변이 남은 예제가 없습니다."),
        _("«예제 최대 길이»를 늘리거나 예제를 짧게 고치세요."),
    ),
    "example_too_long": (
        _("{max_length}토큰보다 긴 예제가 있어 학습을 시작하지 않았습니다."),
        _(
            "긴 예제를 나누거나 줄이세요. 자르거나 빼고 학습하려면 «긴 예제» 설정(overflow)을 바꾸세요."
        ),
    ),
    "out_of_memory": (
        _("메모리가 모자라 학습을 계속할 수 없었습니다."),
        _("«예제 최대 길이»나 배치 크기를 줄이거나, 전체 미세 조정 대신 PEFT를 선택하세요."),
    ),
    "loss_not_a_number": (
        _("{step}번째 스텝에서 손실이 숫자가 아니게 되었습니다. 학습이 발산했습니다."),
        _("학습률을 10분의 1로 낮추어 다시 시작하세요."),
    ),
    "trainer_killed": (
        _("학습 프로세스를 운영 체제가 끝냈습니다. 대개 메모리가 모자랄 때 그렇습니다."),
        _("«예제 최대 길이»나 배치 크기를 줄이거나, 더 작은 기본 모델을 선택하세요."),
    ),
    "trainer_crashed": (
        _("학습 프로세스가 멈췄습니다(코드 {exit_code})."),
        _("다시 시작해 보세요. 계속되면 관리자에게 기록을 보여 주세요."),
    ),
    "worker_lost": (
        _("학습을 맡은 작업자와 연결이 끊어졌습니다."),
        _("컴퓨터가 꺼졌거나 멈추지 않았는지 확인하세요."),
    ),
    "result_incomplete": (
        _("학습 결과 파일이 온전하지 않습니다."),
        _("디스크에 남은 공간을 확인하고 다시 시작하세요."),
    ),
    # --- talking --------------------------------------------------------------------------
    "engine_away": (
        _("모델을 실행하는 프로그램(엔진)과 연결되지 않습니다."),
        _("잠시 뒤에 다시 시도하세요. 계속되면 관리자에게 알려 주세요."),
    ),
    "engine_memory": (
        _("메모리가 부족해 작업을 마치지 못했습니다."),
        _("쓰지 않는 모델을 내리거나 최대 길이를 줄인 뒤 다시 시도하세요."),
    ),
    "engine_memory_short": (
        _(
            "모델을 올리려면 메모리가 약 {needed_mb} MB 필요한데 지금 {available_mb} MB만 남아 있습니다."
        ),
        _("쓰지 않는 모델을 내리거나 진행 중인 학습이 끝난 뒤 다시 로드하세요."),
    ),
    "model_unknown": (
        _("고른 모델을 찾을 수 없습니다."),
        _("모델 목록에서 다른 모델을 고르세요. 삭제된 모델일 수 있습니다."),
    ),
    "model_not_loaded": (
        _("모델이 메모리에 올라와 있지 않습니다."),
        _("로드를 누른 뒤 다시 시도하세요."),
    ),
    "model_loading": (
        _("모델을 아직 불러오는 중입니다."),
        _("다 불러온 뒤 다시 시도하세요."),
    ),
    "model_load_failed": (
        _("모델을 불러오지 못했습니다."),
        _("다시 로드해 보세요. 계속되면 관리자에게 알려 주세요."),
    ),
    "model_unreadable": (
        _("모델 폴더 {folder}의 형식을 읽을 수 없습니다."),
        _("지원하는 구조의 모델인지, 파일이 모두 있는지 확인하세요."),
    ),
    "model_unloaded": (
        _("답변하는 동안 모델이 메모리에서 내려갔습니다."),
        _("모델을 다시 로드한 뒤 질문을 다시 보내세요."),
    ),
    "adapter_misfit": (
        _("학습한 모델이 기본 모델과 맞지 않습니다."),
        _("학습할 때 쓴 기본 모델이 바뀌지 않았는지 확인하세요."),
    ),
    "prompt_too_long": (
        _("질문이 너무 깁니다. {tokens}토큰인데 이 모델은 {limit}토큰까지 읽을 수 있습니다."),
        _("질문이나 시스템 프롬프트를 줄여서 다시 보내세요."),
    ),
    "prompt_foreign_token": (
        _("질문에 이 모델이 모르는 토큰이 있습니다."),
        _("모델 폴더의 토크나이저와 모델이 서로 맞는지 확인하세요."),
    ),
    "generation_failed": (
        _("답변을 만드는 중에 문제가 생겼습니다."),
        _("질문을 다시 보내세요. 계속되면 관리자에게 알려 주세요."),
    ),
    "parameter_out_of_range": (
        _("설정값이 범위를 벗어났습니다({name})."),
        _("{low}에서 {high} 사이의 값을 입력하세요."),
    ),
    "text_empty": (
        _("보낼 질문이 비어 있습니다."),
        _("질문을 입력한 뒤 보내세요."),
    ),
    "text_too_long": (
        _("질문이 {length}자로 너무 깁니다."),
        _("{limit}자 안으로 줄여서 보내세요."),
    ),
    "system_prompt_too_long": (
        _("시스템 프롬프트가 {length}자로 너무 깁니다."),
        _("{limit}자 안으로 줄이세요."),
    ),
    "title_empty": (
        _("대화 이름이 비어 있습니다."),
        _("이름을 한 글자 이상 입력하세요."),
    ),
    "conversation_gone": (
        _("대화가 삭제되어 저장할 수 없습니다."),
        _("새 대화를 시작하세요."),
    ),
    "answer_under_way": (
        _("앞선 질문에 아직 답하는 중입니다."),
        _("답변이 끝나기를 기다리거나 멈춘 뒤 보내세요."),
    ),
    "too_many_answers": (
        _("한 번에 받을 수 있는 답변은 {limit}개까지입니다."),
        _("다른 대화의 답변이 끝난 뒤 다시 보내세요."),
    ),
    "frame_unreadable": (
        _("보낸 내용을 알아볼 수 없습니다."),
        _("페이지를 새로 고친 뒤 다시 시도하세요."),
    ),
    # --- data -----------------------------------------------------------------------------
    "url_unusable": (
        _("알아볼 수 없는 주소입니다: {url}"),
        _("http:// 또는 https://로 시작하는 전체 주소를 빈칸 없이 붙여 넣으세요."),
    ),
    "url_scheme": (
        _("http:// 또는 https://로 시작하는 주소가 아닙니다."),
        _("브라우저 주소창의 주소를 처음부터 끝까지 붙여 넣으세요."),
    ),
    "url_credentials": (
        _("URL에 아이디나 비밀번호가 들어 있습니다."),
        _("로그인 없이 받을 수 있는 주소를 쓰거나, 파일을 내려받아 직접 올리세요."),
    ),
    "url_private": (
        _("내부망 주소라서 접속하지 않았습니다: {host}"),
        _(
            "파일을 내려받아 직접 올리거나, 관리자에게 DADEUM_FETCH_ALLOW 설정에 이 주소를 넣어 달라고 하세요."
        ),
    ),
    "url_port": (
        _("{host}의 {port}번 포트에는 접속할 수 없습니다."),
        _(
            "기본 포트(80, 443)의 주소를 쓰거나, 관리자에게 DADEUM_FETCH_ALLOW 설정에 이 주소를 넣어 달라고 하세요."
        ),
    ),
    "fetch_allow_unusable": (
        _("관리자 설정 DADEUM_FETCH_ALLOW에 알아볼 수 없는 값이 있습니다: {entry}"),
        _("관리자에게 10.1.2.3, 10.0.0.0/8, 10.1.2.3:8080 같은 형식으로 고쳐 달라고 하세요."),
    ),
    "url_not_found": (
        _("«{host}» 서버를 찾을 수 없습니다."),
        _("주소의 철자를 확인하세요. 외부망이 막힌 곳이라면 파일을 직접 올리세요."),
    ),
    "url_unreachable": (
        _("{host} 서버에 연결되지 않습니다."),
        _("브라우저에서 주소가 열리는지 확인하고, 잠시 뒤에 다시 시도하거나 파일을 직접 올리세요."),
    ),
    "url_certificate": (
        _("{host} 서버의 보안 인증서를 확인할 수 없습니다."),
        _("주소를 확인하세요. 사내 서버라면 관리자에게 인증서를 이 컴퓨터에 등록해 달라고 하세요."),
    ),
    "url_redirects": (
        _("주소가 다른 곳으로 {limit}번 넘게 옮겨 다녀서 멈췄습니다."),
        _("파일이 바로 열리는 최종 주소를 입력하세요."),
    ),
    "url_denied": (
        _("서버가 파일을 내주지 않았습니다(응답 {status})."),
        _("로그인 없이 누구나 받을 수 있게 공유를 바꾸거나, 파일을 내려받아 직접 올리세요."),
    ),
    "url_missing": (
        _("그 주소에 파일이 없습니다(응답 {status})."),
        _("주소가 맞는지, 파일이 지워지지 않았는지 확인하세요."),
    ),
    "url_busy": (
        _("서버가 지금 응답하지 못합니다(응답 {status})."),
        _("잠시 뒤에 다시 시도하세요."),
    ),
    "url_status": (
        _("서버가 파일 대신 알 수 없는 응답({status})을 보냈습니다."),
        _("파일이 바로 내려받아지는 주소인지 확인하세요."),
    ),
    "url_is_page": (
        _("그 주소는 파일이 아니라 웹 페이지입니다."),
        _("페이지에서 «다운로드» 또는 «원본» 링크의 주소를 복사해 넣으세요."),
    ),
    "url_compressed": (
        _("서버가 파일을 압축해서 보내 읽지 않았습니다."),
        _("압축되지 않은 파일의 주소를 쓰거나, 파일을 내려받아 직접 올리세요."),
    ),
    "url_too_big": (
        _("파일이 {limit_mb}MB보다 커서 가져오기를 멈췄습니다."),
        _("파일을 나누거나, 관리자에게 DADEUM_UPLOAD_LIMIT_MB 설정을 늘려 달라고 하세요."),
    ),
    "url_too_slow": (
        _("{seconds}초 안에 파일을 다 받지 못해 멈췄습니다."),
        _("잠시 뒤에 다시 시도하거나, 파일을 내려받아 직접 올리세요."),
    ),
    "url_broken": (
        _("{host}에서 파일을 받는 도중에 연결이 끊겼습니다."),
        _("다시 시도하세요. 계속되면 파일을 내려받아 직접 올리세요."),
    ),
    "file_empty": (
        _("파일이 비어 있습니다."),
        _("내용이 저장되었는지 확인하고 다시 올리세요."),
    ),
    "file_is_page": (
        _("학습 데이터가 아니라 웹 페이지(HTML) 파일입니다."),
        _("웹 페이지를 저장하지 말고, 페이지에서 데이터 파일 자체를 내려받아 올리세요."),
    ),
    "file_excel": (
        _("엑셀(XLSX) 파일은 아직 바로 읽지 못합니다."),
        _("엑셀에서 «다른 이름으로 저장» → «CSV UTF-8(쉼표로 분리)»로 저장해 올리세요."),
    ),
    "file_old_office": (
        _("엑셀(XLS)이나 한글(HWP) 문서이거나, 암호가 걸린 문서 파일입니다."),
        _("원래 프로그램에서 열어 «CSV UTF-8» 또는 텍스트로 저장해 올리세요."),
    ),
    "file_binary": (
        _("글자로 된 파일이 아닙니다(종류: {kind})."),
        _("JSONL 또는 CSV 파일을 올리세요. 압축 파일이라면 먼저 푸세요."),
    ),
    "file_undecodable": (
        _("파일의 글자 인코딩을 알 수 없습니다."),
        _("메모장에서 열어 «다른 이름으로 저장» → 인코딩 «UTF-8»로 저장해 다시 올리세요."),
    ),
    "file_too_heavy": (
        _("파일을 읽는 데 메모리나 시간이 너무 많이 듭니다."),
        _("파일을 여러 개로 나누어 올리세요."),
    ),
    "columns_unknown": (
        _("질문과 답변이 어디에 있는지 찾지 못했습니다. 파일에서 찾은 이름: {columns}"),
        _(
            "JSONL은 prompt·completion 또는 messages, CSV는 C_ID·role·content 또는 질문·답변으로 이름을 바꾸세요."
        ),
    ),
    "line_too_long": (
        _("{line}번째 줄이 {limit_mb}MB보다 깁니다."),
        _("예제 하나를 한 줄에 하나씩 쓴 JSONL로 저장하세요."),
    ),
    "quote_open": (
        _("{line}번째 줄에서 열린 큰따옴표가 닫히지 않아 그 뒤를 읽지 못했습니다."),
        _('그 줄의 큰따옴표를 닫거나 지우세요. 글 속의 큰따옴표는 두 번("") 씁니다.'),
    ),
    "json_unreadable": (
        _("JSON으로 읽을 수 없습니다({column}번째 글자 부근)."),
        _("따옴표, 쉼표, 중괄호가 빠지거나 남지 않았는지 확인하세요."),
    ),
    "not_object": (
        _("예제가 중괄호로 묶여 있지 않습니다."),
        _('{{"prompt": "질문", "completion": "답변"}} 형식으로 쓰세요.'),
    ),
    "keys_unknown": (
        _("질문과 답변의 이름을 찾지 못했습니다. 찾은 이름: {keys}"),
        _("prompt와 completion, 또는 messages로 이름을 바꾸세요."),
    ),
    "prompt_missing": (
        _("질문(prompt)이 없습니다."),
        _("질문을 넣으세요."),
    ),
    "answer_missing": (
        _("답변이 없습니다. 대화는 assistant의 답변으로 끝나야 합니다."),
        _("답변을 넣거나 이 예제를 지우세요."),
    ),
    "prompt_empty": (
        _("질문이 비어 있습니다."),
        _("질문을 쓰거나 이 예제를 지우세요."),
    ),
    "answer_empty": (
        _("답변이 비어 있습니다."),
        _("답변을 쓰거나 이 예제를 지우세요."),
    ),
    "content_not_text": (
        _("{name}의 값이 글자가 아닙니다."),
        _("목록이나 묶음 대신 글자로 쓰세요."),
    ),
    "messages_wrong": (
        _("messages의 {turn}번째 메시지에 role과 content가 없습니다."),
        _('{{"role": "user", "content": "질문"}} 형식의 목록으로 쓰세요.'),
    ),
    "role_unknown": (
        _("{turn}번째 메시지에 모르는 역할이 있습니다: «{role}»"),
        _("역할은 system, user, assistant 가운데 하나로 쓰세요."),
    ),
    "order_wrong": (
        _("{turn}번째 메시지({role})의 순서가 맞지 않습니다."),
        _("system은 맨 앞에 한 번만, 그다음은 user와 assistant가 번갈아 나오게 하세요."),
    ),
    "letters_damaged": (
        _("깨진 글자가 있습니다."),
        _("원래 파일에서 이 예제의 글자를 확인하고 UTF-8로 다시 저장하세요."),
    ),
    "cells_too_many": (
        _("칸이 {found}개로, 첫 줄의 {expected}개보다 많습니다."),
        _("글 속에 쉼표 같은 구분 기호가 있으면 그 칸을 큰따옴표로 묶으세요."),
    ),
    "quote_unclosed": (
        _("여기서 열린 큰따옴표가 파일 끝까지 닫히지 않아, 이 줄부터 끝까지를 한 줄로 보았습니다."),
        _('큰따옴표를 닫거나 지우세요. 글 속의 큰따옴표는 두 번("") 씁니다.'),
    ),
    "conversation_too_long": (
        _("한 대화가 너무 깁니다(최대 {turns}개 메시지, {limit_mb}MB)."),
        _("C_ID가 모든 줄에서 같은 값이 아닌지 확인하세요."),
    ),
    "raw_newlines_mended": (
        _("따옴표 안에서 그대로 줄을 바꾼 곳을 줄바꿈으로 읽고, 공통 들여쓰기를 뺐습니다."),
        _("미리보기에서 줄바꿈이 맞는지 확인하세요."),
    ),
    "columns_ignored": (
        _("질문과 답변이 아닌 칸은 읽지 않았습니다."),
        _("필요한 내용이 빠졌다면 질문이나 답변 칸으로 옮겨 다시 올리세요."),
    ),
    "conversation_ids_filled": (
        _("C_ID가 빈 줄은 바로 위 대화에 이어지는 것으로 읽었습니다."),
        _("미리보기에서 대화가 맞게 나뉘었는지 확인하세요."),
    ),
    "some_letters_damaged": (
        _("파일에 깨진 글자가 몇 개 있어, 그 글자가 든 예제는 문제 목록에 넣었습니다."),
        _("원래 파일을 UTF-8로 다시 저장해 올리면 모두 쓸 수 있습니다."),
    ),
    # --- data -----------------------------------------------------------------------------
    # --- the REST API -----------------------------------------------------------------------
    "key_missing": (
        _("API 키가 없습니다."),
        _("Authorization 헤더에 «Bearer 키»를 넣으세요. 키는 계정 메뉴의 «API 키»에서 만듭니다."),
    ),
    "key_unknown": (
        _("API 키가 맞지 않거나 더는 쓸 수 없습니다."),
        _("키를 끝까지 복사했는지 확인하고, 아니면 계정 메뉴의 «API 키»에서 새로 만드세요."),
    ),
    "route_unknown": (
        _("이 주소에는 API가 없습니다."),
        _("주소를 확인하세요. 쓸 수 있는 주소는 /v1/openapi.json에 있습니다."),
    ),
    "method_unknown": (
        _("이 주소에서는 이 요청 방식을 쓸 수 없습니다."),
        _("GET, POST, DELETE 가운데 맞는 방식으로 보내세요. /v1/openapi.json에 적혀 있습니다."),
    ),
    "request_refused": (
        _("이 요청은 받을 수 없습니다."),
        _("API 키와 주소를 확인하고 다시 보내세요."),
    ),
    "request_unreadable": (
        _("요청을 읽을 수 없습니다."),
        _('본문을 올바른 JSON으로 보내세요. 따옴표는 곧은 것(")이어야 합니다.'),
    ),
    "request_too_large": (
        _("보낸 내용이 한 번에 받을 수 있는 크기를 넘었습니다."),
        _("나누거나 줄여서 다시 보내세요."),
    ),
    "field_missing": (
        _("필요한 항목이 없습니다: {field}"),
        _("{field} 항목을 넣어 다시 보내세요."),
    ),
    "field_unknown": (
        _("모르는 항목입니다: {field}"),
        _("철자를 확인하거나 빼고 보내세요. 쓸 수 있는 항목은 /v1/openapi.json에 있습니다."),
    ),
    "field_wrong": (
        _("{field}의 값을 쓸 수 없습니다."),
        _("이렇게 보내세요: {expected}"),
    ),
    "number_wrong": (
        _("{field}의 값이 범위를 벗어났습니다."),
        _("{reason}"),
    ),
    "job_unknown": (
        _("찾을 수 없는 학습 작업입니다: {id}"),
        _("id를 확인하세요. 삭제된 작업일 수 있습니다."),
    ),
    "job_is_over": (
        _("«{name}»의 학습은 이미 끝나 취소할 수 없습니다."),
        _("결과는 작업을 조회하면 볼 수 있습니다."),
    ),
    "base_is_shared": (
        _("모두가 쓰는 기본 모델이라 삭제할 수 없습니다: {id}"),
        _("학습해서 만든 자신의 모델만 삭제할 수 있습니다."),
    ),
    # --- people ---------------------------------------------------------------------------
    "sign_in_paused": (
        _("비밀번호를 여러 번 틀려 잠시 멈췄습니다."),
        _(
            "{minutes}분 뒤에 다시 시도하세요. 비밀번호를 잊었다면 관리자에게 새 비밀번호를 받으세요."
        ),
    ),
    "own_password": (
        _("자신의 비밀번호는 여기에서 재설정할 수 없습니다."),
        _("화면 위쪽의 계정 메뉴에서 «비밀번호 바꾸기»를 여세요."),
    ),
    "own_account": (
        _("지금 로그인한 자신의 계정은 멈출 수 없습니다."),
        _("다른 관리자에게 부탁하세요."),
    ),
}


def say(code: str, params: Mapping[str, object] | None = None) -> Sentence:
    """Return the sentence of a code; an unknown code gets the fixed one and is logged."""
    if code not in SENTENCES:
        logger.error("no sentence for code %r", code)
        code, params = "unexpected", {}
    what, cure = SENTENCES[code]
    filled = _Places({name: _shown(name, value) for name, value in (params or {}).items()})
    return Sentence(str(what).format_map(filled), str(cure).format_map(filled))


NO_AMOUNTS = {"port", "status", "exit_code"}
"""Numbers that name something: they are written as they are."""


def _shown(name: str, value: object) -> object:
    """Write an amount with separators, 84,031; anything else as it is."""
    is_amount = isinstance(value, int) and not isinstance(value, bool) and name not in NO_AMOUNTS
    return f"{value:,}" if is_amount else value


class _Places(dict):
    """A missing place shows as a dash instead of breaking the page that explains an error."""

    def __missing__(self, key: str) -> str:
        return "–"
