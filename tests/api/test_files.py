"""A training file's data report by REST, in the words of the page."""

import json

from training.models import DatasetVersion

CREATE = "/v1/training/fine_tune"


def ordered(api, files: str) -> str:
    body = {"base_model": "tiny", "suffix": "날씨", "training_file": f"{files}/40.jsonl"}
    return api.post(CREATE, json.dumps(body), content_type="application/json").json()[
        "training_file"
    ]


def report(api, file: str) -> dict:
    answer = api.get(f"/v1/files/{file}/report")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_report_is_in_progress_until_the_file_is_read_and_checked(api, files, light_lane):
    file = ordered(api, files)
    assert (report(api, file)["status"], report(api, file)["findings"]) == ("in_progress", [])
    light_lane()
    told = report(api, file)
    assert (told["id"], told["object"], told["status"]) == (file, "file.report", "ready")
    assert told["statistics"]["examples"] == 40
    found = {one["name"]: one for one in told["findings"]}
    assert found["duplicates"]["message"] == "Copies of other examples: 31."
    assert found["duplicates"]["cures"] == [
        {"name": "keep_one", "label": "Keep one of each", "examples": 31}
    ]


def test_findings_tell_their_examples_and_cures(api, files, light_lane):
    file = ordered(api, files)
    light_lane()
    for one in report(api, file)["findings"]:
        assert one["level"] in ("bad", "warn", "info") and one["reason"]
        assert all(1 <= number <= 40 for number in one["examples"])
        assert all(cure["label"] and cure["examples"] for cure in one["cures"])


def test_a_file_that_can_not_be_read_says_why(api, files, light_lane):
    file = ordered(api, files)
    DatasetVersion.objects.update(status="failed", error={"code": "file_empty", "params": {}})
    told = report(api, file)
    assert told["status"] == "error" and told["error"]["code"] == "file_empty"


def test_nobody_elses_file_is_told_of(api, strange_api, files):
    file = ordered(api, files)
    assert report(api, file)["id"] == file
    for unknown in (file, "file-nosuchfile", file.removeprefix("file-")):
        answer = strange_api.get(f"/v1/files/{unknown}/report")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "file_unknown")
