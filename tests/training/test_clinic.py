"""Every known failure, brought about for real: what the clinic says of it, and what its cure comes to."""

import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import making
import psutil
import pytest
import serving
import tiny
from at_once import at_once
from django.utils import timezone
from safetensors.torch import load_file, save_file

from training import clinic, clinic_words, drafts, jobs, registry, runs, tasks, wire
from training.datasets import versions
from training.errors import UserError
from training.models import Dataset, DatasetVersion, Job, JobEvent

pytestmark = pytest.mark.django_db
FAST = {"epochs": 1, "validation_share": 0}


@pytest.fixture(autouse=True)
def quiet(monkeypatch, models_folder, settings):
    """Nobody hears the bells: tests run the lanes' work themselves."""
    monkeypatch.setattr(tasks, "ring", lambda *_: None)
    monkeypatch.setattr(jobs, "MAX_CRASHES", 1)
    settings.THREADS = 1


def draft(version: DatasetVersion, **fields) -> Job:
    job = drafts.create_draft(version.dataset.owner)
    drafts.edit(job, **{"name": "날씨", "base": "tiny", "version": version, "knobs": FAST} | fields)
    return job


def started(version: DatasetVersion, **fields) -> Job:
    job = draft(version, **fields)
    runs.count(str(drafts.token_count(job).pk))
    jobs.start(job)
    return job


def run(job: Job) -> Job:
    """Train the job that waits, as the heavy lane does, and return it as it is then."""
    runs.train(job.pk)
    job.refresh_from_db()
    return job


def codes(job: Job) -> tuple[str, list[str]]:
    found = clinic.diagnose(job)
    return found.error.code, [one.key for one in found.cures]


def press(job: Job, key: str = "") -> Job:
    """Press the recommended cure, or another one, and return the new job."""
    return clinic.cure(job, key or clinic.diagnose(job).best.key).job


def with_python(monkeypatch, tmp_path, first: str) -> None:
    """Have children begin with a line of shell, for limits that the kernel keeps."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\n{first}\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


# --- memory -------------------------------------------------------------------------------------
@pytest.fixture
def heavy(models_folder, version, settings) -> Job:
    """A job whose one step goes through the model in a row of some 12,000 tokens, of which examples
    have none in common."""
    settings.MIN_EXAMPLES = 20
    shutil.rmtree(models_folder / "tiny")
    tiny.build(models_folder / "tiny", hidden_size=768)
    shutil.rmtree(versions.folder(version))
    making.write_unlike_examples(versions.folder(version), 280)
    DatasetVersion.objects.update(example_count=280)
    version.refresh_from_db()
    return started(version, knobs=FAST | {"batch_size": 256, "row_tokens": 16384})


def trainers() -> list[psutil.Process]:
    """Return the trainers that this process has begun; other tests' children are let alone."""
    found = psutil.Process().children()
    return [child for child in found if "training.trainer" in " ".join(child.cmdline())]


def limit_address_space(monkeypatch, more_bytes: int) -> None:
    """Let trainers, once they begin, take so much more of addresses and nothing beyond."""
    beat = jobs.beat

    def limiting(job, events):
        if any(event["kind"] == "start" for event in events):
            for child in trainers():
                most = child.memory_info().vms + more_bytes
                child.rlimit(resource.RLIMIT_AS, (most, most))
        return beat(job, events)

    monkeypatch.setattr(jobs, "beat", limiting)


def told(job: Job) -> str:
    return (registry.attempt_folder(job) / "log.txt").read_text()[-600:]


def cured_until_it_fits(job: Job) -> list[int]:
    """Press the first cure while it is smaller rows; return the rows of each try, the last of which
    succeeded."""
    rows = [job.resolved["row_tokens"]]
    while job.status != "succeeded":
        assert clinic.diagnose(job).best.key == clinic.ROWS, (job.error, rows, told(job))
        job = run(press(job))
        rows.append(job.resolved["row_tokens"])
        assert len(rows) < 6
    return rows


def test_memory_that_is_refused_is_cured_by_smaller_rows(heavy, monkeypatch, settings):
    """Addresses are refused to the first try; that smaller rows fit where larger ones do not is seen
    where the kernel counts memory."""
    settings.BEAT_SECONDS, beat = 0.02, jobs.beat
    monkeypatch.setenv("LD_PRELOAD", "")  # mimalloc takes addresses long before it needs them
    limit_address_space(monkeypatch, 300 << 20)
    job = run(heavy)
    code, cures = codes(job)
    assert (job.status, code) == ("failed", "out_of_memory"), (job.error, told(job))
    assert cures == [clinic.ROWS, clinic.RANK, clinic.SAME]  # no example is long
    monkeypatch.setattr(jobs, "beat", beat)
    rows = cured_until_it_fits(job)
    assert rows[0] == 16384 and rows[1] <= 8192 and len(rows) == 2
    last = Job.objects.get(status="succeeded")
    assert [one.key for one in clinic.changes(clinic.tried_before(last), last)] == ["row_tokens"]


@pytest.fixture
def memory_group():
    """A group of processes that the kernel gives 950 MB."""
    groups = Path("/sys/fs/cgroup/memory")
    name, limit = "memory.limit_in_bytes", str(950 << 20)
    if not groups.is_dir():
        groups, name = Path("/sys/fs/cgroup"), "memory.max"
    group = groups / f"dadeum-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / name).write_text(limit)
    except OSError:
        pytest.skip("no group of processes can be made here")
    yield group
    group.rmdir()


def test_a_trainer_that_the_kernel_ends_for_memory_is_told_from_one_that_somebody_ends(
    heavy, monkeypatch, memory_group, tmp_path
):
    with_python(monkeypatch, tmp_path, f"echo $$ > {memory_group}/cgroup.procs")
    job = run(heavy)
    assert (job.status, job.error["code"]) == ("failed", "out_of_memory")
    assert job.events.filter(kind="crash").exists()  # it could not say so itself
    assert cured_until_it_fits(job)[-1] <= 8192


def test_a_trainer_that_somebody_ends_is_done_again_as_it_was(version, monkeypatch):
    monkeypatch.setattr(jobs, "MAX_CRASHES", 3)
    beat = jobs.beat

    def killing(job, events):
        if any(event["kind"] == "start" for event in events):
            for child in trainers():
                child.kill()
        return beat(job, events)

    monkeypatch.setattr(jobs, "beat", killing)
    job = started(version)
    for _ in range(3):
        job = run(job)
    assert (job.status, *codes(job)) == ("failed", "trainer_killed", [clinic.SAME])
    monkeypatch.setattr(jobs, "beat", beat)
    again = run(press(job))
    assert again.status == "succeeded" and again.parent == job and again.knobs == job.knobs


def test_a_worker_that_was_lost_with_its_memory_nearly_full_is_cured_by_less(heavy):
    """Where the kernel ends the worker too, nobody is left to see of what."""
    job = jobs.claim_next()
    told = {"memory_bytes": psutil.virtual_memory().total}
    JobEvent.objects.create(job=job, attempt=1, kind="metrics", step=1, data=told)
    Job.objects.update(lease_expires_at=timezone.now() - timezone.timedelta(seconds=1))
    jobs.reap()
    job.refresh_from_db()
    code, cures = codes(job)
    assert code == "worker_lost" and cures[0] == clinic.ROWS
    job.events.filter(kind="metrics").update(data={"memory_bytes": 1})
    assert codes(job) == ("worker_lost", [clinic.SAME])


# --- numbers ------------------------------------------------------------------------------------
def scale(folder: Path, times: float) -> None:
    """Multiply the last norm's weights, so that gradients lie so much nearer to the largest number."""
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * times
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_run_that_diverges_is_cured_by_a_lower_learning_rate(version, models_folder):
    scale(models_folder / "tiny", 3.6e18)
    job = run(started(version, method="full", knobs=FAST | {"learning_rate": 0.1}))
    code, cures = codes(job)
    assert code == "loss_not_a_number" and cures == [clinic.SLOWER, clinic.BASE, clinic.SAME]
    again = run(press(job))
    assert again.status == "succeeded"
    assert again.resolved["learning_rate"] == 1e-4 and again.resolved["warmup_ratio"] == 0.2
    said = [clinic_words.change(one) for one in clinic.changes(job, again)]
    assert said == ["학습률 0.1 → 0.0001", "준비 구간 10 % → 20 %"]


def test_a_base_with_broken_numbers_is_not_blamed_on_the_learning_rate(version, models_folder):
    scale(models_folder / "tiny", float("inf"))
    job = run(started(version))
    assert codes(job) == ("loss_never_a_number", [clinic.BASE, clinic.SAME])


# --- the disk -----------------------------------------------------------------------------------
@pytest.fixture
def small_disk(data, monkeypatch):
    """A disk of one megabyte that holds the runs; nobody waits long for room on it."""
    monkeypatch.setattr(jobs, "MAX_WAITS_FOR_ROOM", 0)
    (data / "runs").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(data / "runs")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield data / "runs"
    subprocess.run(["umount", str(data / "runs")], check=True)


def fill(disk: Path, left_bytes: int) -> None:
    (disk / "others").write_bytes(bytes(shutil.disk_usage(disk).free - left_bytes))


def test_a_full_disk_is_told_with_what_it_takes(version, small_disk):
    fill(small_disk, 100_000)
    job = run(started(version, method="full"))
    assert codes(job) == ("disk_full", [clinic.SAME])
    (small_disk / "others").unlink()
    assert clinic.space(job).needed_bytes > 100_000
    assert run(press(job)).status == "succeeded"


def test_a_disk_that_is_full_before_the_run_begins_is_no_unknown_trouble(version, small_disk):
    fill(small_disk, 8_000)
    assert codes(run(started(version))) == ("disk_full", [clinic.SAME])


def test_a_file_that_may_grow_no_further_is_a_full_disk_too(version, monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "MAX_WAITS_FOR_ROOM", 0)
    job = started(version, method="full")
    with_python(monkeypatch, tmp_path, "export PYTHONDONTWRITEBYTECODE=1; ulimit -f 100")
    assert codes(run(job)) == ("disk_full", [clinic.SAME])


# --- the base model -----------------------------------------------------------------------------
def test_a_base_that_went_meanwhile_is_chosen_anew(version, models_folder):
    job = started(version)
    shutil.rmtree(models_folder / "tiny")
    assert codes(run(job)) == ("base_missing", [clinic.BASE, clinic.SAME])
    found = clinic.cure(job, clinic.BASE)
    assert (found.job.status, found.cure.opens) == ("draft", "model")
    again = clinic.cure(job, clinic.SAME)
    assert again.job.status == "draft" and again.blocker.code == "base_missing"
    assert again.job == found.job  # nothing is lost, and nothing piles up


def test_a_folder_that_the_gate_refuses_is_cured_by_another_or_by_mending_it(
    version, models_folder, tiny_base
):
    job = started(version)
    (models_folder / "tiny" / "modeling.py").write_text("print('no')")
    assert codes(run(job)) == ("gate_file", [clinic.BASE, clinic.SAME])
    (models_folder / "tiny" / "modeling.py").unlink()
    assert run(press(job, clinic.SAME)).status == "succeeded"


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{% for message in messages %}", "template_unreadable"),
        ("{{ messages | nowhere }}", "template_unsupported"),
        ("always the same", "template_without_answer"),
        ("", "template_without_answer"),
    ],
)
def test_a_broken_template_is_cured_by_another_base(version, models_folder, template, code):
    job = started(version)
    (models_folder / "tiny" / "chat_template.jinja").write_text(template)
    assert codes(run(job)) == (code, [clinic.BASE, clinic.SAME])


REFUSING = "{% if messages[0].content != '?' %}{{ raise_exception('no') }}{% endif %}" + tiny.CHATML


def test_a_base_that_was_mended_is_counted_anew_and_the_job_goes_on_by_itself(
    version, models_folder
):
    """The count that had failed stood in the way of every further try."""
    template = models_folder / "tiny" / "chat_template.jinja"
    template.write_text(REFUSING)
    job = submitted(version)
    count = drafts.token_count(job)
    runs.count(str(count.pk))
    job.refresh_from_db()
    assert codes(job) == ("template_refused", [clinic.BASE, clinic.SAME])
    template.write_text(tiny.CHATML)
    again = press(job, clinic.SAME)
    assert again.status == "validating_files"
    runs.count(str(count.pk))
    assert run(again).status == "succeeded"


# --- the data -----------------------------------------------------------------------------------
def submitted(version: DatasetVersion, **fields) -> Job:
    """Return a job that gets in line by itself, as programs submit it."""
    order = {"name": "날씨", "method": "lora", "base": "tiny", "knobs": FAST} | fields
    return jobs.submit(version.dataset.owner, version=version, **order)


def failed_by_lengths(version: DatasetVersion, **fields) -> Job:
    job = submitted(version, **fields)
    runs.count(str(drafts.token_count(job).pk))
    job.refresh_from_db()
    return job


def test_answers_that_are_all_cut_are_cured_by_a_longer_limit(version):
    job = failed_by_lengths(version, knobs=FAST | {"max_length": 16})
    assert codes(job) == (
        "too_few_after_cutting", [clinic.LONGER, clinic.DATA, clinic.SAME]
    )  # fmt: skip
    found = clinic.cure(job, clinic.LONGER)
    assert (found.job.status, found.cure.opens) == ("draft", "data")
    assert found.job.knobs["max_length"] > 16 and not drafts.blockers(found.job)


@pytest.mark.parametrize(
    ("overflow", "code", "expected"),
    [
        ("drop", "too_few_after_dropping", [clinic.LONGER, clinic.CUT]),
        ("fail", "examples_too_long", [clinic.LONGER, clinic.DROP, clinic.CUT]),
    ],
)
def test_examples_that_are_too_long_have_more_cures_where_they_are_not_cut(
    version, overflow, code, expected
):
    job = failed_by_lengths(version, overflow=overflow, knobs=FAST | {"max_length": 24})
    assert codes(job) == (code, [*expected, clinic.DATA, clinic.SAME])
    assert clinic.cure(job, clinic.CUT).job.overflow == "cut"


def test_a_run_that_finds_nothing_to_learn_is_cured_by_a_longer_limit(version):
    """Counts may be older than the tokenizer that the run meets."""
    job = started(version)
    Job.objects.update(resolved=job.resolved | {"max_length": 16})
    code, cures = codes(run(job))
    assert (code, cures[0]) == ("no_example_left", clinic.LONGER)


def test_data_that_could_not_be_fetched_is_fetched_again(user, data, settings):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    settings.FETCH_ALLOW = [f"127.0.0.1:{port}"]
    version = versions.from_url(user, f"http://127.0.0.1:{port}/날씨.jsonl")
    job = submitted(version)
    runs.read(version.pk)
    job.refresh_from_db()
    assert codes(job) == ("url_unreachable", [clinic.FETCH, clinic.DATA, clinic.SAME])
    again = press(job)
    assert again.status == "validating_files" and again.version != version
    assert press(job) == again  # the same button once more leads to the same try
    lines = [f'{{"prompt": "오늘 {i % 7}", "completion": "맑습니다"}}' for i in range(220)]
    with serving.files(lambda path: "\n".join(lines), port):
        runs.read(again.version_id)
    again = Job.objects.get(pk=again.pk)
    runs.count(str(drafts.token_count(again).pk))
    assert run(again).status == "succeeded"


def test_a_file_that_nobody_can_read_is_the_datas_to_mend(user, data):
    path = versions.incoming() / "a.jsonl"
    path.write_bytes(b"\x00\x01\x02" * 400)
    version = versions.from_upload(user, "a.jsonl", path)
    job = submitted(version)
    runs.read(version.pk)
    job.refresh_from_db()
    code, cures = codes(job)
    assert code.startswith("file_") and cures == [clinic.DATA, clinic.SAME]


# --- pressing -----------------------------------------------------------------------------------
@pytest.fixture
def failed(version) -> Job:
    """A job that ran out of memory in rows of 1,600 tokens of which one example has 28."""
    job = started(version, knobs=FAST | {"batch_size": 64})
    JobEvent.objects.create(job=job, attempt=1, kind="start", data={"path": "packed"})
    Job.objects.update(status="failed", error={"code": "out_of_memory", "params": {}})
    job.refresh_from_db()
    return job


def test_rows_are_halved_from_what_was_computed_at_once_not_from_what_might_have_been(failed):
    best = clinic.diagnose(failed).best
    assert best.facts["old"] == 4096 and 512 <= best.facts["new"] <= 1024


def test_a_cure_that_is_pressed_twice_makes_one_job(failed):
    first, second = press(failed), press(failed)
    assert first == second and first.status == "queued"
    assert Job.objects.filter(parent=failed).count() == 1
    Job.objects.filter(pk=first.pk).update(status="failed")
    assert press(failed) != first  # it has ended: this is another try


@pytest.mark.django_db(transaction=True)
def test_a_cure_that_is_pressed_in_two_tabs_at_once_makes_one_job(on_disk, failed):
    found = at_once(*[lambda: press(Job.objects.get(pk=failed.pk))] * 3)
    assert len(set(found)) == 1
    assert [job.status for job in Job.objects.filter(parent=failed)] == ["queued"]


def test_a_job_that_did_not_fail_has_no_cure(failed):
    Job.objects.update(status="cancelled")
    failed.refresh_from_db()
    with pytest.raises(UserError, match="cure_gone"):
        clinic.cure(failed, clinic.SAME)


def test_an_example_that_is_alone_the_longest_row_is_shortened(failed):
    Job.objects.update(resolved=failed.resolved | {"row_tokens": 128, "batch_size": 1})
    failed.refresh_from_db()
    assert clinic.ROWS not in codes(failed)[1]


def test_models_that_go_one_example_at_a_time_are_not_offered_smaller_rows(failed):
    failed.events.update(data={"path": "one by one"})
    assert clinic.ROWS not in codes(failed)[1]


def test_full_tuning_that_does_not_fit_becomes_lora_with_its_own_learning_rate(failed):
    Job.objects.update(method="full", knobs={"learning_rate": 1e-5, "epochs": 1})
    failed.refresh_from_db()
    job = press(failed, clinic.LORA)
    assert (job.method, job.knobs) == ("lora", {"epochs": 1})
    assert job.resolved["learning_rate"] == 1e-3


def test_what_this_machine_should_carry_comes_first(failed, monkeypatch):
    Job.objects.update(method="full", knobs={"epochs": 1})
    failed.refresh_from_db()
    monkeypatch.setattr(clinic.forecast, "memory_bytes", lambda base, method, *_: method == "full")
    monkeypatch.setattr(clinic.fit, "carries", lambda memory_bytes: not memory_bytes)
    assert clinic.diagnose(failed).best.key == clinic.LORA


def test_layers_that_lora_cannot_take_are_trained_in_full(failed):
    Job.objects.update(error={"code": "lora_no_layers", "params": {"reason": "-"}})
    failed.refresh_from_db()
    assert codes(failed)[1] == [clinic.FULL, clinic.BASE, clinic.SAME]
    assert press(failed).method == "full"


def test_a_program_reads_the_cure_in_the_message(failed):
    message = wire.problem(failed)["message"]
    assert "메모리가 모자라" in message and "한 번에 계산하는 토큰을 줄입니다(4,096 →" in message


def test_a_try_that_trains_a_model_further_is_no_other_try_of_it(failed):
    again = press(failed)
    assert clinic.tried_before(again) == failed and list(clinic.tries(failed)) == [again]
    tuned = failed.owner.tuned_models.create(name="a", job=failed, base="tiny", method="lora")
    Job.objects.filter(pk=again.pk).update(foundation=tuned)
    again.refresh_from_db()
    assert clinic.tried_before(again) is None and not clinic.tries(failed).exists()


def test_the_largest_come_first_of_what_may_be_deleted(failed):
    Dataset.objects.update(name="큰 데이터")
    DatasetVersion.objects.update(size_bytes=10)
    failed.owner.tuned_models.create(
        name="큰 모델", job=failed, base="tiny", method="lora", size_bytes=20
    )
    assert [str(getattr(one, "dataset", one)) for one in clinic.largest(failed.owner)] == [
        "큰 모델", "큰 데이터"
    ]  # fmt: skip
