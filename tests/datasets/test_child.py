"""The children run as the worker runs them: by `python -m`, with JSON lines on stdout."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from training.chat import Example, Renderer
from training.datasets import count, lengths, segments, store
from training.datasets.batches import batches
from training.datasets.count import BATCH

ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *arguments: object) -> tuple[int, list[dict]]:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        timeout=60,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode in (0, 2), done.stderr.decode()
    return done.returncode, said


def order(folder: Path, raw: str | None = None, **more: object) -> Path:
    folder.mkdir(exist_ok=True)
    given = {"source": "upload", "raw": "raw", "file_name": "내 데이터.jsonl"}
    (folder / "order.json").write_text(json.dumps(given | more))
    if raw is not None:
        (folder / "raw").write_text(raw)
    return folder


def rows(count: int, answer: str = "답변") -> str:
    return "".join(
        json.dumps({"prompt": f"질문 {number}", "completion": answer}, ensure_ascii=False) + "\n"
        for number in range(count)
    )


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = rows(3).encode()
            self.send_response(200 if self.path == "/data.jsonl" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_upload_is_read_into_segments_and_told(tmp_path):
    folder = order(tmp_path / "v", rows(250) + "not json\n")
    code, said = run("training.datasets.child", folder)
    told = said[-1]
    size = (folder / "raw").stat().st_size
    assert code == 0
    assert said[0]["kind"] == "layout"
    assert {"kind": "progress", "phase": "read"}.items() <= said[1].items()
    assert said[1]["total_bytes"] == size
    assert told == {
        "kind": "read", "examples": 250, "problems": 1, "encoding": "utf-8",
        "format": "jsonl-prompt", "notes": [], "size_bytes": size,
        "file_name": "내 데이터.jsonl", "fingerprint": segments.manifest(folder).fingerprint,
    }  # fmt: skip
    assert store.examples(folder, 249, 5)[0].messages[0].content == "질문 249"
    assert segments.problems(folder, 0, 5) == [
        {"line": 251, "code": "json_unreadable", "params": {"column": 1}, "row": "not json"}
    ]


def test_a_second_run_starts_over(tmp_path):
    folder = order(tmp_path / "v", rows(20))
    run("training.datasets.child", folder)
    (folder / "segment-0007.jsonl.part").write_text("left by a crash")
    (folder / "raw").write_text(rows(5))
    assert run("training.datasets.child", folder)[1][-1]["examples"] == 5
    assert not list(folder.glob("*.part"))


def test_a_file_that_cannot_be_read_leaves_a_sentence_and_no_manifest(tmp_path):
    folder = order(tmp_path / "v", rows(20))
    run("training.datasets.child", folder)
    (folder / "raw").write_text("제목,본문\n가,나\n")
    code, said = run("training.datasets.child", folder)
    assert (code, said[-1]) == (
        2,
        {"kind": "error", "code": "columns_unknown", "params": {"columns": "제목, 본문"}},
    )
    with pytest.raises(FileNotFoundError):
        segments.manifest(folder)


def test_a_url_is_fetched_and_read(tmp_path, server):
    url = f"http://127.0.0.2:{server.server_port}/data.jsonl"
    folder = order(
        tmp_path / "v", source="url", url=url, allow=["127.0.0.2"], max_bytes=10_000,
        deadline_seconds=10,
    )  # fmt: skip
    code, said = run("training.datasets.child", folder)
    assert (code, said[-1]["examples"], said[-1]["file_name"]) == (0, 3, "data.jsonl")
    assert said[0]["phase"] == "fetch"


def test_a_url_that_may_not_be_fetched_leaves_a_sentence(tmp_path, server):
    url = f"http://127.0.0.2:{server.server_port}/data.jsonl"
    folder = order(tmp_path / "v", source="url", url=url, max_bytes=10_000, deadline_seconds=10)
    code, said = run("training.datasets.child", folder)
    assert (code, said[-1]["code"]) == (2, "url_private")


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("training.datasets.child, training.datasets.fetch", "numpy"),
        ("training.datasets.count", "torch"),
    ],
)
def test_the_children_need_neither_django_nor_torch(modules, heavy):
    code = (
        f"import sys, {modules};"
        f"print([name for name in ('django', 'torch', 'transformers', '{heavy}')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_file_is_read_in_little_memory(tmp_path):
    answer = "긴 답변입니다. " * 200
    folder = order(tmp_path / "v", rows(12_000, answer))
    assert (folder / "raw").stat().st_size > 40_000_000
    assert 0 < peak_kib(folder) < 80_000


def peak_kib(folder: Path) -> int:
    """Return the peak memory of reading a folder in a process of its own (Linux)."""
    code = (
        "import pathlib, sys; from training.datasets import child;"
        "child.run(pathlib.Path(sys.argv[1]));"
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1])


# --- counting -----------------------------------------------------------------------------------
def test_counting_tells_how_long_the_examples_are(tmp_path, tiny_base):
    raw = rows(30) + rows(1, "길다 " * 300)
    raw += json.dumps({"prompt": "길다 " * 300, "completion": "짧다"}) + "\n"
    folder = order(tmp_path / "v", raw)
    run("training.datasets.child", folder)
    renderer = Renderer.of(tiny_base)
    encoded = [renderer.encode(example) for example in store.iterate(folder)]
    code, said = run("training.datasets.count", folder, tiny_base, 0)
    result = said[-1]["result"]
    assert code == 0
    assert result["count"] == 32 and result["longest"] == max(len(one.ids) for one in encoded)
    assert result["tokens"] == sum(len(one.ids) for one in encoded)
    kept = lengths.kept(result, 200)
    assert (kept.over, kept.trimmed, kept.lost, kept.used) == (2, 1, 1, 31)


def test_a_sample_is_of_rows_from_all_over_the_data(tmp_path, tiny_base):
    folder = order(tmp_path / "v", rows(10) + rows(10, "비가 옵니다 " * 9))
    run("training.datasets.child", folder)
    code, said = run("training.datasets.count", folder, tiny_base, 4)
    chosen = [list(store.iterate(folder))[place] for place in (0, 5, 10, 15)]
    texts = [message.content for example in chosen for message in example.messages]
    renderer, result = Renderer.of(tiny_base), said[-1]["result"]
    assert code == 0 and result["count"] == 4
    assert result["tokens"] == sum(len(renderer.encode(one).ids) for one in chosen)
    assert result["text_characters"] == sum(map(len, texts))
    assert result["text_tokens"] == renderer.count_tokens(texts) < result["tokens"]


def test_a_sample_of_few_rows_is_all_of_them(tmp_path, tiny_base):
    folder = order(tmp_path / "v", rows(3))
    run("training.datasets.child", folder)
    assert count.spread(folder, 300) == list(store.iterate(folder))


def test_a_folder_without_a_tokenizer_leaves_a_sentence(tmp_path):
    folder = order(tmp_path / "v", rows(3))
    run("training.datasets.child", folder)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    code, said = run("training.datasets.count", folder, tmp_path / "model", 0)
    assert (code, said[-1]["code"]) == (2, "tokenizer_unreadable")


def test_batches_are_small_in_rows_and_in_letters(tmp_path):
    folder = order(tmp_path / "v", rows(1200) + rows(3, "가" * 1_500_000))
    run("training.datasets.child", folder)
    assert [len(batch) for batch in batches(store.iterate(folder), Example.letters, **BATCH)] == [
        500,
        500,
        202,
        1,
    ]
