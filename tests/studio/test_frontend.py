"""The front-end set-up step: what it copies, when it does nothing, where its npm comes from."""

import subprocess

import pytest

from studio import frontend


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A repository whose node_modules hold one byte for every wanted file."""
    (tmp_path / "package-lock.json").write_text("{}")
    for name, path in {
        "ROOT": tmp_path,
        "PACKAGES": tmp_path / "node_modules",
        "VENDOR": tmp_path / "static/vendor",
    }.items():
        monkeypatch.setattr(frontend, name, path)
    for source, _goal in frontend.wanted():
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("x\n//# sourceMappingURL=x.map\n")
    return tmp_path


def test_it_copies_what_is_wanted_and_cuts_links_to_source_maps(place, monkeypatch):
    monkeypatch.setattr(frontend, "install_packages", lambda: None)
    assert frontend.main() == 0
    vendor = place / "static" / "vendor"
    assert (vendor / "icons" / "check.svg").is_file()
    assert "sourceMappingURL" not in (vendor / "uplot" / "uplot.js").read_text()
    assert "font-display: swap" in (vendor / "pretendard" / "pretendard.css").read_text()


def test_a_second_run_does_nothing_until_the_lock_changes(place, monkeypatch, capsys):
    runs = []
    monkeypatch.setattr(frontend, "install_packages", lambda: runs.append(1))
    frontend.main()
    frontend.main()
    assert len(runs) == 1 and "이미 준비" in capsys.readouterr().out
    (place / "package-lock.json").write_text('{"changed": 1}')
    frontend.main()
    assert len(runs) == 2


def test_a_failed_fetch_says_so_and_leaves_no_stamp(place, monkeypatch, capsys):
    def fail():
        raise subprocess.CalledProcessError(1, "npm")

    monkeypatch.setattr(frontend, "install_packages", fail)
    assert frontend.main() == 1
    assert "받지 못했습니다" in capsys.readouterr().out
    assert not (place / "static" / "vendor").exists()


@pytest.mark.parametrize(("version", "is_taken"), [("11.1.0", True), ("6.14.4", False)])
def test_an_npm_that_is_too_old_is_passed_over(monkeypatch, version, is_taken):
    monkeypatch.setattr(frontend.shutil, "which", lambda name: f"/usr/bin/{name}")
    answer = subprocess.CompletedProcess([], 0, stdout=f"{version}\n")
    monkeypatch.setattr(frontend.subprocess, "run", lambda *_a, **_k: answer)
    assert bool(frontend.npm_of_the_machine()) is is_taken


def test_without_npm_on_the_path_there_is_none(monkeypatch):
    monkeypatch.setattr(frontend.shutil, "which", lambda name: None)
    assert frontend.npm_of_the_machine() is None


def test_every_icon_that_a_template_names_is_copied():
    import re
    from pathlib import Path

    templates = Path(frontend.__file__).resolve().parent.parent / "templates"
    named = {
        name
        for page in templates.rglob("*.html")
        for name in re.findall(r'{% icon "([a-z0-9-]+)"', page.read_text())
    }
    from studio.templatetags.studio import STATUS_LOOKS

    named |= {name for name, _tone in STATUS_LOOKS.values()}
    assert named <= set(frontend.ICONS)
