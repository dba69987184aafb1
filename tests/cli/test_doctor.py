"""``ajobs doctor`` and ``ajobs completion``."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ajobs.cli import _doctor, main

FIRST = ["Python", "system", "CPUs", "open files", "user processes", "loopback"]


@pytest.mark.slow
def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    """Where these tests run nothing is bad, and every line fits the screen."""
    assert main(["doctor"]) == 0

    lines = capsys.readouterr().out.splitlines()
    found = [line[6:22].strip() for line in lines if line[0] != " "]
    assert found[: len(FIRST)] == FIRST
    assert {"processes", "interpreters", "asyncio", "trio"} <= set(found)
    assert [line for line in lines if line.startswith("BAD")] == []


def test_doctor_as_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs get the same as one document; what does not work is the exit status."""

    def fail() -> _doctor.Finding:
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(_doctor, "_loopback", fail)
    for name in ("_processes", "_interpreters"):
        monkeypatch.setattr(_doctor, name, _doctor._temporary)

    assert main(["doctor", "--json"]) == 1

    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "ajobs.doctor/1"
    (bad,) = [one for one in document["findings"] if one["grade"] == "BAD"]
    assert bad == {
        "name": "loopback",
        "grade": "BAD",
        "said": "ConnectionRefusedError: [Errno 111] refused",
        "advice": "",
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script for each shell is one; where the shell is here, it reads it without error."""
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    assert main(["completion"]) == 0

    script = capsys.readouterr().out
    assert f"_AJOBS_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, timeout=30, check=True)


def test_completion_for_powershell(capsys: pytest.CaptureFixture[str]) -> None:
    """Its script is there too."""
    assert main(["completion", "powershell"]) == 0
    assert "Register-ArgumentCompleter" in capsys.readouterr().out


def test_completion_of_an_unknown_shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that we know nothing of is said, with those that we know."""
    monkeypatch.setenv("SHELL", "/bin/dash")

    assert main(["completion"]) == 2
    assert capsys.readouterr().err == (
        "ajobs: no completion for the shell 'dash': name one of bash, zsh, fish, powershell\n"
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ajobs fo", ["plain,foreach"]),
        ("ajobs no-such-command x", []),
        ("ajobs demo --ba", ["plain,--backend"]),
        ("ajobs ForEach-Object --keep", ["plain,--keep-order"]),
        ("ajobs foreach --backend tr", ["plain,trio"]),
        ("ajobs foreach gzip REA", ["file,REA"]),
    ],
)
def test_completions(
    words: str,
    found: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a shell is told, by the way that the scripts use."""
    monkeypatch.setenv("_AJOBS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))

    main([])

    assert capsys.readouterr().out.split() == found


@pytest.mark.slow
def test_completion_in_bash(tmp_path: Path) -> None:
    """A bash that has read the script offers our commands."""
    program = tmp_path / "ajobs"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ajobs "$@"\n')
    program.chmod(0o755)
    script = f"""
        eval "$({program} completion bash)"
        COMP_WORDS=(ajobs d) COMP_CWORD=1
        _ajobs_completion {program}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    argv = ["bash", "-c", script]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)

    assert ended.stdout.split() == ["demo", "doctor"]
