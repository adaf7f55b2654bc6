"""What stands around every page: theme, queue pill, security headers, errors in words."""

import pytest
from django.test import override_settings
from django.urls import path

from studio.urls import urlpatterns as studio_urls
from training.errors import UserError


def misuse(request):
    raise UserError("job_without_name")


def break_down(request):
    raise RuntimeError("a fault of ours")


urlpatterns = [path("misuse/", misuse), path("broken/", break_down), *studio_urls]


def test_the_theme_is_rendered_from_the_cookie(signed_in):
    assert "data-theme" not in signed_in.get("/").text.partition(">")[2].partition(">")[0]
    answer = signed_in.post("/theme/", {"theme": "dark", "next": "/models/"})
    assert answer.url == "/models/"
    assert '<html lang="ko" data-theme="dark">' in signed_in.get("/").text


def test_an_empty_theme_follows_the_system_again(signed_in):
    signed_in.post("/theme/", {"theme": "dark"})
    signed_in.post("/theme/", {"theme": ""})
    assert '<html lang="ko">' in signed_in.get("/").text


def test_an_unknown_theme_never_reaches_the_page(signed_in):
    signed_in.cookies["theme"] = '"><script>'
    assert '<html lang="ko">' in signed_in.get("/").text


def test_the_theme_does_not_lead_to_another_site(signed_in):
    assert signed_in.post("/theme/", {"theme": "dark", "next": "//evil.example"}).url == "/"


def test_the_queue_pill_counts_and_polls_only_while_something_is_live(signed_in, user, make):
    assert "hx-trigger" not in signed_in.get("/queue/").text
    version = make.version(user)
    make.job(user, version, status="running")
    make.job(user, version)
    page = " ".join(signed_in.get("/queue/").text.split())
    assert "학습 중 1" in page and "대기 1" in page and "every 5s" in page


def test_the_queue_pill_counts_the_whole_machine_and_names_nobody(signed_in, stranger, make):
    assert "학습 없음" in signed_in.get("/queue/").text
    make.job(stranger, make.version(stranger), status="running", name="남의 것")
    page = signed_in.get("/queue/").text
    assert "학습 중 1" in page and "남의 것" not in page


def test_the_present_place_is_marked_in_the_navigation(signed_in):
    page = signed_in.get("/data/").text
    assert page.count('aria-current="page"') == 2  # the bar and the small screen's menu
    assert 'href="/data/" aria-current="page"' in page


def test_pages_forbid_everything_that_is_not_ours(signed_in):
    policy = signed_in.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_no_page_has_inline_style_or_script(signed_in, user, make):
    version = make.version(user)
    job = make.job(user, version, status="running", started_at=None, step=3, total_steps=9)
    for url in ("/", "/train/", "/data/", f"/data/{version.dataset_id}/", f"/models/{job.pk}/"):
        page = signed_in.get(url).text
        assert " style=" not in page and "<style" not in page
        assert "<script>" not in page and " onclick=" not in page


@pytest.mark.urls(__name__)
class TestErrors:
    def test_a_users_error_becomes_a_page_that_says_what_to_do(self, signed_in):
        answer = signed_in.get("/misuse/", headers={"Referer": "http://testserver/models/"})
        assert answer.status_code == 422
        assert "모델 이름이 없습니다." in answer.text
        assert "2단계에서 모델 이름을 입력하세요." in answer.text
        assert 'href="http://testserver/models/"' in answer.text

    def test_the_way_back_never_leads_to_another_site(self, signed_in):
        answer = signed_in.get("/misuse/", headers={"Referer": "http://evil.example/"})
        assert "evil.example" not in answer.text

    def test_a_users_error_in_a_fragment_goes_to_the_notices(self, signed_in):
        answer = signed_in.get("/misuse/", headers={"HX-Request": "true"})
        assert answer.status_code == 422
        assert answer.headers["HX-Retarget"] == "#notices"
        assert "<html" not in answer.text

    def test_a_users_error_as_json(self, signed_in):
        answer = signed_in.get("/misuse/", headers={"Accept": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "job_without_name"

    def test_a_fault_of_ours_shows_an_id_and_no_traceback(self, signed_in, caplog):
        answer = signed_in.get("/broken/")
        assert answer.status_code == 500
        assert "a fault of ours" not in answer.text
        identity = answer.text.partition("<code>")[2].partition("<")[0]
        assert identity and identity in caplog.text


@pytest.mark.parametrize("path", ["/no/such/page/", "/models/nothing-here/", "/data/nothing/"])
@override_settings(DEBUG=False)
def test_what_is_not_there_is_a_calm_404(signed_in, path):
    answer = signed_in.get(path)
    assert answer.status_code == 404
    assert "볼 수 있는 것이 없습니다" in answer.text
