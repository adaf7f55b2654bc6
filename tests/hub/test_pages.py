"""기본 모델: what each person sees there, and what administrators can do."""

import shutil

import pytest

from tests.hub.conftest import REPO
from training import bases
from training.hub import downloads, ids, origin, presets
from training.models import BaseDownload, Job, TunedModel

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def member(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def here(library_folder, tiny_base):
    repo = "LGAI-EXAONE/EXAONE-4.0-1.2B"
    folder = shutil.copytree(tiny_base, library_folder / ids.slug(repo))
    origin.write(folder, origin.Origin(repo=repo, commit="abcdef123456", licence="exaone"))
    return bases.find(repo)


def add(owner, **fields) -> BaseDownload:
    return BaseDownload.objects.create(owner=owner, repo=REPO, **fields)


def test_everybody_sees_what_is_here_and_what_could_be(member, here):
    page = member.get("/bases/").text
    for words in ("EXAONE-4.0-1.2B", "상업적으로 쓸 수 없음", "학습에 드는 메모리", "512토큰",
                  "<code>abcdef1234</code>", "관리자가 받습니다", "모델 페이지에서 확인하지 못한 값"):  # fmt: skip
        assert words in page, words
    for preset in presets.PRESETS:
        assert preset.label in page and preset.repo in page
    assert "이 컴퓨터에 있음" in page
    assert "<form" not in page.partition("<main")[2]  # nothing to press for who may not


def test_an_administrator_can_act(admin_client, here):
    page = admin_client.get("/bases/").text
    for words in (
        "받기",
        "다른 모델 받기",
        "폴더로 가져오기",
        f"/bases/folders/{here.slug}/delete/",
    ):
        assert words in page
    assert 'value="Qwen/Qwen3-0.6B"' in page and f'value="{here.origin.repo}"' not in page


def test_nothing_here_yet_says_to_a_member_whom_to_ask(member):
    assert "관리자에게 기본 모델을 받아 달라고" in member.get("/bases/").text


def test_nothing_here_yet_says_to_an_administrator_what_to_do(admin_client):
    assert "아래에서 모델을 받거나 폴더로 가져오세요." in admin_client.get("/bases/").text


def test_ordering_shows_it_on_its_way_and_polls(admin_client):
    answer = admin_client.post("/bases/fetch/", {"repo": REPO}, follow=True)
    assert "mansae/tiny-ko 모델을 받습니다. 이 창은 닫아도 됩니다." in answer.text
    assert 'hx-trigger="every 2s"' in answer.text and "차례를 기다립니다" in answer.text
    fragment = admin_client.get("/bases/", headers=HTMX).text
    assert fragment.strip().startswith('<div id="library"') and "<html" not in fragment


def test_progress_has_bytes_share_and_time_left(member, user):
    add(user, status="fetching", size_bytes=3 * 1024**3, done_bytes=1024**3, seconds_left=200)
    page = member.get("/bases/").text
    assert "1.0 GB / 3.0 GB · 33% · 3분 20초 남음" in page


def test_a_failure_says_why_and_offers_to_go_on(admin_client, user):
    row = add(user, status="failed", done_bytes=5_000_000, size_bytes=9_000_000,
              error={"code": "hub_offline", "params": {}})  # fmt: skip
    page = admin_client.get("/bases/").text
    assert "모델 허브에 연결할 수 없습니다." in page and "이어서 받기" in page
    assert 'hx-trigger="every 2s"' not in page
    admin_client.post(f"/bases/downloads/{row.pk}/retry/")
    row.refresh_from_db()
    assert row.status == "waiting"
    admin_client.post(f"/bases/downloads/{row.pk}/cancel/")
    row.refresh_from_db()
    assert row.status == "cancelled"
    assert "지울까요?" in admin_client.get(f"/bases/downloads/{row.pk}/discard/").text
    admin_client.post(f"/bases/downloads/{row.pk}/discard/")
    assert not BaseDownload.objects.exists()


@pytest.mark.parametrize(
    ("form", "words"),
    [({"repo": ""}, "받을 모델의 이름을 입력하세요."), ({"repo": "nonsense"}, "모델 허브의 이름이 아닙니다"),
     ({"repo": REPO, "revision": "../x"}, "알아볼 수 없는 버전 이름입니다")],
)  # fmt: skip
def test_a_wrong_order_is_said_beside_its_form(admin_client, form, words):
    answer = admin_client.post("/bases/fetch/", form)
    assert answer.status_code == 422 and words in answer.text


def test_deleting_asks_first_and_says_why_it_cannot(admin_client, here, user, library_folder):
    address = f"/bases/folders/{here.slug}/delete/"
    done = Job.objects.create(owner=user, base=here.slug)
    tuned = TunedModel.objects.create(owner=user, name="a", job=done, base=here.slug, method="lora")
    page = admin_client.get(address).text
    assert "지금은 삭제할 수 없습니다" in page and "PEFT 모델 1개" in page and "danger" not in page
    assert admin_client.post(address).status_code == 422
    assert (library_folder / here.slug).exists()
    tuned.delete()
    assert "삭제할까요?" in admin_client.get(address).text
    assert admin_client.post(address).status_code == 302
    assert not (library_folder / here.slug).exists()
    assert admin_client.get(address).status_code == 404


def test_the_hub_switched_off_leaves_facts_and_the_folder(admin_client, settings):
    settings.HUB = False
    page = admin_client.get("/bases/").text
    assert "DADEUM_HUB=0" in page and "Kanana 1.5 2.1B" in page and "폴더로 가져오기" in page
    assert "다른 모델 받기" not in page and 'action="/bases/fetch/' not in page
    assert admin_client.post("/bases/fetch/", {"repo": REPO}).status_code == 422


def test_a_preset_leads_to_its_makers_page_where_the_hub_may_be_reached(member, settings):
    repo = presets.PRESETS[0].repo
    settings.HUB_URL = "https://hub.example"
    page = member.get("/bases/").text
    assert page.count('target="_blank" rel="noreferrer"') == len(presets.PRESETS)
    assert f'href="https://hub.example/{repo}"' in page
    settings.HUB = False
    assert "hub.example" not in member.get("/bases/").text


def test_the_account_menu_and_the_wizard_lead_there(member, here):
    assert 'href="/bases/"' in member.get("/").text
    member.post("/train/new/")
    page = member.get(f"/train/{Job.objects.get().pk}/model/").text
    for words in (
        'href="/bases/"',
        "상업적으로 쓸 수 없음",
        "학습에 드는 메모리",
        "연구와 교육에만",
    ):
        assert words in page, words


def test_the_one_to_take_is_marked_in_the_wizard(member, library_folder, tiny_base):
    repo = "Qwen/Qwen3-0.6B"
    shutil.copytree(tiny_base, library_folder / ids.slug(repo))
    shutil.copytree(tiny_base, library_folder / "unknown")
    member.post("/train/new/")
    page = member.get(f"/train/{Job.objects.get().pk}/model/").text
    assert page.count("이 컴퓨터에서 권장") == 1
    assert "이 컴퓨터에서 권장" in page.partition(f'value="{ids.slug(repo)}"')[2][:1200]


def test_the_page_asks_the_database_a_fixed_number_of_times(
    member, user, here, django_assert_max_num_queries
):
    for number in range(5):
        BaseDownload.objects.create(owner=user, repo=f"a/b{number}", status="failed")
    with django_assert_max_num_queries(8):
        member.get("/bases/")


def test_what_is_ready_is_shown_among_the_models_alone(admin_client, user, repo):
    row = downloads.order(user, REPO)
    downloads.fetch(row.pk)
    page = admin_client.get("/bases/").text
    assert "받는 모델" not in page and "tiny-ko" in page
