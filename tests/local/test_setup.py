"""run.sh up to the moment it hands over, in a folder of its own with nothing to install."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLING = "Installing"
MAKING = "Making a virtual environment"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder") / "check out"
    launcher = folder / "shared_accounts" / "local"
    launcher.mkdir(parents=True)
    shutil.copy(ROOT / "run.sh", folder)
    (launcher / "__main__.py").write_text("import os, sys; print('handed over', sys.prefix, os.getcwd(), sep='|')\n")
    for name in ("requirements.txt", "requirements-local.txt"):
        (folder / name).write_text("# nothing\n")
    return folder


def run(folder, *arguments, **options):
    return subprocess.run([folder / "run.sh", *arguments], capture_output=True, text=True, check=False, **options)


def test_it_installs_once_and_hands_over_wherever_it_is_called_from(checkout):
    first = run(checkout, cwd="/")
    second = run(checkout, cwd=checkout.parent)

    assert MAKING in first.stdout
    assert INSTALLING in first.stdout
    assert first.stdout.splitlines()[-1] == f"handed over|{checkout / '.venv'}|{checkout}"
    assert second.stdout == first.stdout.splitlines()[-1] + "\n"


def test_it_installs_again_when_the_requirements_changed_and_only_then(checkout):
    (checkout / "requirements.txt").write_text("# something else\n")

    changed, unchanged = (run(checkout, "--setup-only") for _ in range(2))

    assert changed.stdout.startswith(f"{INSTALLING} requirements.txt ")
    assert unchanged.stdout == ""


def test_an_installation_that_failed_is_not_believed(checkout):
    (checkout / "requirements.txt").write_text("./no-such-package\n")
    failed = run(checkout, "--setup-only")
    (checkout / "requirements.txt").write_text("# something else\n")

    again = run(checkout, "--setup-only")

    assert failed.returncode != 0
    assert INSTALLING in again.stdout


def test_what_only_tests_need_is_installed_beside_the_rest(checkout):
    (checkout / "requirements-dev.txt").write_text("# nothing\n")

    with_dev, without = run(checkout, "--setup-only", "requirements-dev.txt"), run(checkout, "--setup-only")

    assert with_dev.stdout.startswith(f"{INSTALLING} requirements-dev.txt ")
    assert without.stdout == ""


def test_an_environment_of_a_moved_folder_is_made_anew(checkout):
    moved = checkout.with_name("moved")
    checkout.rename(moved)

    run(moved, "--setup-only")

    assert str(moved) in (moved / ".venv" / "bin" / "activate").read_text()
    moved.rename(checkout)


def test_an_unknown_argument_is_refused(checkout):
    refused = run(checkout, "--help")

    assert refused.returncode == 2
    assert refused.stderr.startswith("usage:")
