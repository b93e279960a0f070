"""`pip wheel .` as a user types it: the wheel, and a fresh environment that runs it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from copies import clean_environment, copy_project, path_of


def run(command: list[str], **options: object) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheels")
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(target), str(source)])
    (found,) = target.glob("*.whl")
    return found


def test_a_manylinux_tag_fits_the_wheel(wheel: Path) -> None:
    output = run([sys.executable, "-m", "auditwheel", "show", str(wheel)])
    assert 'platform tag: "manylinux_2_' in output.replace("\n", " ")


def test_the_wheel_has_the_package_one_library_and_nothing_of_the_build(
    source: Path, wheel: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert all(name.startswith("fraiseql_subscriptions/") for name in names)
    assert len([name for name in names if name.endswith(".so")]) == 1
    assert not [name for name in names if name.endswith((".go", ".c", ".h"))]
    packaged = {name.removeprefix("fraiseql_subscriptions/") for name in names}
    package = source / "python" / "fraiseql_subscriptions"
    wanted = {
        str(file.relative_to(package))
        for pattern in ("**/*.py", "**/*.pyi", "**/py.typed", "demo/data/*", "demo/web/*/*")
        for file in package.glob(pattern)
    }
    assert "py.typed" in wanted
    assert wanted <= packaged


def test_the_library_links_no_libpython_and_has_no_search_path(wheel: Path, tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        path = Path(archive.extract(name, tmp_path))
    with path.open("rb") as file:
        tags = list(ELFFile(file).get_section_by_name(".dynamic").iter_tags())
    needed = [tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"]
    assert not [name for name in needed if "python" in name]
    assert not [tag for tag in tags if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")]
    # Nothing tells where it was built.
    assert str(source).encode() not in path.read_bytes()


def test_the_wheel_runs_in_a_fresh_environment_without_go(wheel: Path, tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", str(tmp_path / "fresh")])
    python = str(tmp_path / "fresh" / "bin" / "python")
    run([python, "-m", "pip", "install", "-q", str(wheel)])
    code = """if True:
        import importlib.metadata, shutil
        import fraiseql_subscriptions
        from fraiseql_subscriptions import _native

        assert shutil.which("go") is None
        assert _native.version() == importlib.metadata.version("fraiseql-subscriptions")
        with fraiseql_subscriptions.SubscriptionExecutor() as executor:
            id = executor.register_subscription("c", "s", "subscription { a { b } }")
            executor.publish_event("t", "channel", {"b": 1, "c": 2})
            print(executor.next_event(id).decode())
        print(fraiseql_subscriptions.__file__)
    """
    path = path_of("sh", folder=tmp_path / "bin")
    output = run([python, "-c", code], cwd=tmp_path, env=clean_environment(PATH=path))
    response, file = output.splitlines()
    assert response == '{"id":"s","type":"next","payload":{"data":{"a":{"b":1}}}}'
    assert file.startswith(str(tmp_path / "fresh"))


def test_a_source_distribution_builds_the_same_package(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    options = ["--sdist", "--no-isolation", "-o", str(made)]
    run([sys.executable, "-m", "build", *options, str(source)])
    (archive,) = made.glob("*.tar.gz")
    options = ["--no-deps", "--no-build-isolation", "-w", str(made)]
    run([sys.executable, "-m", "pip", "wheel", *options, str(archive)])
    (again,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_an_editable_install_loads_from_the_source_tree(source: Path, tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", str(tmp_path / "fresh")])
    python = str(tmp_path / "fresh" / "bin" / "python")
    run([python, "-m", "pip", "install", "-q", "-e", str(source)])
    code = "from fraiseql_subscriptions import _native; print(_native.__file__)"
    assert run([python, "-c", code], cwd=tmp_path).startswith(str(source / "python"))
