"""The walls of the house: who may import whom, and who may write what."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "peft", "accelerate"}
TORCH_ROOMS = ("training/lm/", "training/trainer/", "playground/engine/")
WITHOUT_DJANGO = (
    *TORCH_ROOMS,
    "training/chat.py",
    "training/gate.py",
    "training/errors.py",
    "training/lifeline.py",
    "training/logs.py",
    "training/hub/child.py",
    "training/hub/ids.py",
    "training/hub/origin.py",
    "training/hub/sizes.py",
    "training/template.py",
    "training/datasets/bins.py",
    "training/datasets/child.py",
    "training/datasets/choices.py",
    "training/datasets/count.py",
    "training/datasets/encoding.py",
    "training/datasets/fetch.py",
    "training/datasets/grids.py",
    "training/datasets/identifiers.py",
    "training/datasets/judges.py",
    "training/datasets/kinds.py",
    "training/datasets/layout.py",
    "training/datasets/lengths.py",
    "training/datasets/lines.py",
    "training/datasets/names.py",
    "training/datasets/objects.py",
    "training/datasets/parquet.py",
    "training/datasets/personal.py",
    "training/datasets/plain.py",
    "training/datasets/questions.py",
    "training/datasets/read.py",
    "training/datasets/records.py",
    "training/datasets/segments.py",
    "training/datasets/shapes.py",
    "training/datasets/sheets.py",
    "training/datasets/tables.py",
    "training/datasets/talks.py",
    "training/datasets/vicinity.py",
)


def sources(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def test_the_web_process_imports_no_torch():
    code = (
        "import studio.asgi, sys;"
        "from django.urls import get_resolver; get_resolver().url_patterns;"
        f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ)
    )
    assert said.stdout.strip() == "[]", said.stdout + said.stderr


def test_torch_is_imported_in_its_rooms_alone():
    for path in sources("studio", "training", "playground"):
        name = str(path.relative_to(ROOT))
        if not name.startswith(TORCH_ROOMS):
            assert not roots(path) & HEAVY, name


def test_one_child_alone_can_reach_the_hub():
    users = {
        str(path.relative_to(ROOT))
        for path in sources("studio", "training", "playground")
        if roots(path) & {"huggingface_hub", "httpx2", "hf_xet"}
    }
    assert users == {"training/hub/child.py"}


def test_training_knows_neither_studio_nor_playground():
    for path in sources("training"):
        assert not roots(path) & {"studio", "playground"}, path


def test_studio_and_playground_do_not_know_each_other():
    for path in sources("playground"):
        assert "studio" not in roots(path), path
    frame = {"studio/asgi.py", "studio/urls.py", "studio/settings.py"}
    for path in sources("studio"):
        if str(path.relative_to(ROOT)) not in frame:
            assert "playground" not in roots(path), path


@pytest.mark.parametrize("room", WITHOUT_DJANGO)
def test_children_know_no_django(room):
    paths = sources(room) if room.endswith("/") else [ROOT / room]
    for path in paths:
        assert not roots(path) & {"django", "celery", "channels"}, path
        assert not any(name.startswith("training.models") for name in imports(path)), path


def test_only_jobs_writes_the_status_of_a_job():
    writers = {
        str(path.relative_to(ROOT))
        for path in sources("studio", "training", "playground")
        if any(_writes_job_status(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert writers == {"training/jobs.py"}


def _writes_job_status(node: ast.AST) -> bool:
    """Tell `Job.objects….update(status=…)` and the like, however long the chain is."""
    writes = ("update", "create", "update_or_create", "get_or_create", "bulk_create")
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    if node.func.attr not in writes or "status" not in {word.arg for word in node.keywords}:
        return False
    root: ast.AST = node.func
    while isinstance(root, ast.Attribute | ast.Call):
        root = root.value if isinstance(root, ast.Attribute) else root.func
    return isinstance(root, ast.Name) and root.id == "Job"


def test_the_environment_is_read_in_the_settings_alone():
    allowed = {
        "studio/settings.py",
        "studio/frontend.py",  # a set-up step, before there are settings
        "studio/supervisor.py",  # passes it on to its children
        "training/supervise.py",  # likewise
        "training/runs.py",  # which device is mine
        "training/lm/builtin.py",  # a set-up step: keeps a library quiet
        "training/lifeline.py",  # a child's tie to its parent
        "training/lm/measure.py",  # a child likewise
        "training/hub/child.py",  # a child likewise
        "training/trainer/__main__.py",  # a child: its environment is what supervise.py gave it
        "training/trainer/launch.py",  # likewise
        "training/trainer/world.py",  # a child: which of several it is
        "playground/engine/__main__.py",  # sets what torch reads
    }
    for path in sources("studio", "training", "playground"):
        name = str(path.relative_to(ROOT))
        tree = ast.parse(path.read_text())
        reads = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        ]
        sets_default = 'setdefault("DJANGO_SETTINGS_MODULE"' in path.read_text()
        assert not reads or name in allowed or sets_default, name
