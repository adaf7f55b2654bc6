"""One run in several processes: the same result as in one, the same end for all of them."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from trainer_runs import ENVIRONMENT, ROOT, begin, of_kind, said, train

from training import drafts, jobs, memory, runs, tasks
from training.trainer import checkpoint, launch
from training.trainer.world import World

PRECISE = ENVIRONMENT | {"PYTHONPATH": f"{ROOT / 'tests'}:{os.environ['PYTHONPATH']}"}


def start(run, processes: int = 2, attempt: int = 1) -> subprocess.Popen:
    """Start a run as a worker does, in a process group of its own."""
    command = [sys.executable, "-m", "training.trainer.launch", str(processes), str(run)]
    return subprocess.Popen(
        [*command, "--attempt", str(attempt)], cwd=ROOT, text=True, env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen) -> tuple[int, list[dict]]:
    out, error = process.communicate(timeout=120)
    assert process.returncode in (0, 2, 75), error[-3000:]
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def ranks(launcher: psutil.Process) -> list[psutil.Process]:
    """Return the trainers that it has started, in the order of their ranks."""
    return sorted(launcher.children(), key=lambda one: int(one.environ()["RANK"]))


def until(process: subprocess.Popen, kind: str, step: int = 1) -> list[psutil.Process]:
    """Wait until it says something at a step or later; return its trainers."""
    next(event for event in said(process) if event["kind"] == kind and event["step"] >= step)
    return ranks(psutil.Process(process.pid))


def are_gone(processes: list[psutil.Process], seconds: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def weights(run, attempt: int = 1) -> dict[str, torch.Tensor]:
    return load_file(run / f"attempt-{attempt}" / "result" / "adapter_model.safetensors")


@pytest.fixture(scope="module", params=["lora", "full"])
def compared(request, tiny_base, tmp_path_factory):
    """The same run in fp32, in one process and under a plain `accelerate launch`."""
    import making

    folder = tmp_path_factory.mktemp(request.param)
    numbers = {"method": request.param, "count": 41, "long_every": 5, "learning_rate": 2e-3}
    alone, together = (
        making.run_folder(folder / name, tiny_base, **numbers) for name in ("alone", "together")
    )
    python = [sys.executable, "-m"]
    launched = [
        *python, "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--main_process_port", "0", "--log_dir", str(folder), "-m",
    ]  # fmt: skip
    said_alone, said_together = (
        said_when_started(*one) for one in ((python, alone), (launched, together))
    )
    return alone, together, said_alone, said_together


def said_when_started(starter: list[str], run) -> list[str]:
    """Return what a run says; twice if need be: accelerate's own store meets at a port that it picks
    first and opens later, and another test may have taken it meanwhile."""
    for _ in range(2):
        ended = subprocess.run(
            [*starter, "precise_trainer", str(run)],
            cwd=ROOT, env=PRECISE, capture_output=True, text=True,
        )  # fmt: skip
        if not ended.returncode:
            break
    assert not ended.returncode, ended.stderr[-3000:]
    return ended.stdout.splitlines()


def test_two_processes_lose_and_learn_what_one_does(compared):
    """Sums are added up in another order: 1e-5 of each loss."""
    _, _, alone, together = (
        [json.loads(line) for line in part] if isinstance(part, list) else part for part in compared
    )
    for kind, key in (
        ("metrics", "loss"),
        ("metrics", "gradient_norm"),
        ("validation", "validation_loss"),
    ):
        expected = [event[key] for event in of_kind(alone, kind)]
        assert len(expected) > 3
        assert [event[key] for event in of_kind(together, kind)] == pytest.approx(
            expected, rel=1e-5
        )
    tokens = [event["trained_tokens"] for event in of_kind(alone, "metrics")]
    assert [event["trained_tokens"] for event in of_kind(together, "metrics")] == tokens
    assert (
        of_kind(alone, "start")[0]["processes"],
        of_kind(together, "start")[0]["processes"],
    ) == (1, 2)
    # one speaks for all
    assert [event["kind"] for event in together if event["kind"] != "progress"] == [
        event["kind"] for event in alone if event["kind"] != "progress"
    ]


def test_two_processes_make_the_model_that_one_does(compared):
    alone, together, *_ = compared
    name = "adapter_model" if "lora" in str(alone.parent) else "model"
    one, other = (
        load_file(run / "attempt-1" / "result" / f"{name}.safetensors") for run in (alone, together)
    )
    for key, tensor in one.items():
        torch.testing.assert_close(other[key], tensor, rtol=1e-3, atol=1e-5, msg=key)


def test_the_processes_of_a_run_hold_the_same_weights_bit_for_bit(compared):
    _, together, *_ = compared
    digests = [path.read_text() for path in together.glob("digest-*")]
    assert len(digests) == 2 and len(set(digests)) == 1


def test_all_processes_learn_the_most_of_what_each_brings(tmp_path):
    told = "from training.trainer.world import World; w = World.join(); print(w.most(2 * w.rank), w.most(1 - w.rank))"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", told], cwd=ROOT, text=True, stdout=subprocess.PIPE,
            env=ENVIRONMENT | {"RANK": str(rank), "WORLD_SIZE": "2", "DADEUM_MEETING": str(tmp_path / "meeting")},
        )
        for rank in range(2)
    ]  # fmt: skip
    assert [one.communicate(timeout=120)[0].split() for one in both] == [["2", "1"]] * 2


def test_a_run_goes_on_in_as_many_processes_as_there_are_by_then(run_folder):
    """Stopped in two, ended in one; its loss is that of a run that nobody stopped."""
    _, expected = train(run_folder("whole", epochs=4))
    run = run_folder("parts", epochs=4, checkpoint_seconds=0)
    process = start(run)
    members = until(process, "checkpoint")
    os.killpg(process.pid, signal.SIGTERM)
    code, events = finished(process)
    assert code == 75 and are_gone(members, 5)
    stopped = int(checkpoint.latest(run).name.removeprefix("checkpoint-"))
    code, events = train(run, attempt=2)
    assert code == 0
    assert of_kind(events, "resumed")[0]["step"] == stopped
    steps = [event["step"] for event in of_kind(events, "metrics")]
    assert steps == list(range(stopped + 1, 4 * 9 + 1))
    final = of_kind(events, "validation")[-1]["validation_loss"]
    assert final == pytest.approx(of_kind(expected, "validation")[-1]["validation_loss"], rel=1e-2)


def test_a_stopped_run_is_finished_by_more_processes_than_a_step_has_examples(run_folder):
    """Begun in one; where the others have nothing to do they take the step all the same."""
    run = run_folder(epochs=400, batch_size=2, checkpoint_seconds=0)
    process = begin(run)
    next(event for event in said(process) if event["kind"] == "checkpoint")
    process.terminate()
    assert process.communicate() and process.returncode == 75
    process = start(run, processes=3, attempt=2)
    stopped = int(checkpoint.latest(run).name.removeprefix("checkpoint-"))
    until(process, "metrics", step=stopped + 5)
    (run / "finish").touch()
    code, events = finished(process)
    assert code == 0 and of_kind(events, "done")
    manifest = json.loads((run / "attempt-2/result/manifest.json").read_text())
    assert manifest["metrics"]["ended"] == "asked"
    assert stopped + 5 <= manifest["metrics"]["steps"] < 400 * 18


def test_no_process_outlives_the_launcher_talks_to_others_or_is_not_counted(run_folder):
    """Each leads a session of its own, so that a signal to the launcher's group does not reach it."""
    process = start(run_folder(epochs=400))
    members = until(process, "metrics")
    both = [psutil.Process(process.pid), *members]
    found = [connection for one in both for connection in one.net_connections("inet")]
    ends = {end.ip for one in found for end in (one.laddr, one.raddr) if end}
    alone = [memory.peak_bytes(one.pid) for one in members]
    together = memory.peak_bytes(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    assert are_gone(members, 5)
    process.communicate()
    assert ends == {"127.0.0.1"}  # they neither talk nor listen to others
    assert len(alone) == 2 and min(alone) > 0 and together > sum(alone)


def test_what_the_user_can_mend_is_told_and_is_the_end(run_folder):
    code, events = finished(start(run_folder(count=12, max_length=16, epochs=1, long_every=1)))
    assert code == 2
    assert {event["code"] for event in of_kind(events, "error")} == {"no_example_left"}


@pytest.mark.django_db
@pytest.mark.parametrize("rank", [0, 1])
def test_the_queue_goes_on_with_a_run_of_which_one_process_was_killed(
    rank, version, models_folder, settings, monkeypatch
):
    monkeypatch.setattr(tasks, "ring", lambda *_: None)
    settings.THREADS, settings.PROCESSES, settings.CHECKPOINT_SECONDS = 1, 2, 0
    job = drafts.create_draft(version.dataset.owner)
    drafts.edit(job, name="둘이서", base="tiny", version=version, knobs={"epochs": 1})
    runs.count(str(drafts.token_count(job).pk))
    jobs.start(job)
    killed_at = []
    beat = jobs.beat

    def killing(job, events):
        if not killed_at and any(event["kind"] == "checkpoint" for event in events):
            launcher = next(
                one
                for one in psutil.Process().children()
                if "training.trainer" in str(one.cmdline())
            )
            ranks(launcher)[rank].kill()
            killed_at.append(time.monotonic())
        return beat(job, events)

    monkeypatch.setattr(jobs, "beat", killing)
    runs.train(job.pk)
    assert time.monotonic() - killed_at[0] < 10
    job.refresh_from_db()
    (crash,) = job.events.filter(kind="crash")
    assert (job.status, crash.data["code"]) == ("queued", "trainer_killed")
    runs.train(job.pk)
    job.refresh_from_db()
    assert job.status == "succeeded" and job.events.get(kind="resumed").step > 0
    assert {start.data["processes"] for start in job.events.filter(kind="start")} == {2}


# --- without processes ------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_examples_are_shared_out_evenly_and_each_once(size):
    lengths = np.random.default_rng(5).integers(1, 500, 40)
    shares = [World(rank, size).share(range(40), lambda i: int(lengths[i])) for rank in range(size)]
    assert sorted(chain(*shares)) == list(range(40))
    tokens = [sum(int(lengths[i]) for i in share) for share in shares]
    assert max(tokens) - min(tokens) <= 500


def test_the_least_loaded_process_takes_the_next_example():
    lengths = [7, 5, 4, 4, 2]
    shares = [World(rank, 2).share(range(5), lengths.__getitem__) for rank in (0, 1)]
    assert shares == [[0, 3], [1, 2, 4]]


def test_a_process_may_have_no_example():
    assert [World(rank, 3).share([4], lambda _: 9) for rank in range(3)] == [[4], [], []]


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([75, 75], 75), ([-9, 1], -9), ([1, -15], 1), ([-15, 2], 2), ([1, 2], 2), ([75, -9], -9),
        ([-15, -15], -15),
    ],
)  # fmt: skip
def test_a_run_ends_of_what_ended_its_first_process(codes, code):
    assert launch.ending(codes) == launch.ending(codes[::-1]) == code
