"""예제 쓰는 법: advice, examples and templates for each kind of work."""

import pytest

from tests.studio.test_layouts import take
from training.datasets import starters
from training.works import WORKS


def test_the_page_shows_advice_examples_and_files_of_every_kind(signed_in):
    page = signed_in.get("/data/templates/").text
    for key, work in WORKS.items():
        assert f'<h2 id="{key}">{work.label}</h2>' in page
        assert all(str(line) in page for line in work.advice)
        for ending in starters.FORMATS:
            assert f'href="/data/templates/{key}.{ending}"' in page
    assert page.count('<article class="talk"') == 35


@pytest.mark.parametrize("key", WORKS)
@pytest.mark.parametrize("ending", starters.FORMATS)
def test_a_downloaded_template_can_be_uploaded_as_it_is(signed_in, base, key, ending):
    answer = signed_in.get(f"/data/templates/{key}.{ending}")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    dataset = take(signed_in, answer.content, f"{key}.{ending}")
    version = dataset.versions.get()
    assert (version.status, version.example_count, version.problem_count) == ("ready", 5, 0)


@pytest.mark.parametrize("name", ["nothing.xlsx", "classify.pdf", "classify.csv"])
def test_a_template_that_is_not_there_is_404(signed_in, name):
    assert signed_in.get(f"/data/templates/{name}").status_code == 404


def test_the_list_of_data_leads_there_empty_or_not(signed_in, user, make):
    assert 'href="/data/templates/"' in signed_in.get("/data/").text
    make.version(user)
    assert 'href="/data/templates/"' in signed_in.get("/data/").text
    assert 'href="/data/templates/"' in signed_in.get("/data/new/").text
