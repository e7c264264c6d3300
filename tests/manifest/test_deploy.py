"""The examples in ``deploy/`` are made by the code that prints manifests, and are up to date."""

from pathlib import Path

import pytest
import yaml

from kubevip.config import load
from kubevip.manifest.deploy import EXAMPLES, main, stale, texts

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_examples_are_up_to_date() -> None:
    assert stale(DEPLOY) == (), "run: python -m kubevip.manifest.deploy"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_begins_with_the_command_that_makes_it(name: str) -> None:
    assert texts()[name].startswith(f"# python -m kubevip manifest {EXAMPLES[name]}\n")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_yaml(name: str) -> None:
    assert all("kind" in document for document in yaml.safe_load_all(texts()[name]))


@pytest.mark.parametrize("name", ["daemonset.yaml", "pod.yaml"])
def test_the_agent_accepts_an_examples_environment_in_silence(name: str) -> None:
    document = yaml.safe_load(texts()[name])
    spec = document["spec"] if document["kind"] == "Pod" else document["spec"]["template"]["spec"]
    environ = {entry["name"]: entry.get("value", "node-1") for entry in spec["containers"][0]["env"]}
    assert load(environ).notices == ()


def test_the_environment_of_whoever_writes_them_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = texts()
    monkeypatch.setenv("vip_interface", "eth9")
    assert texts() == before


def test_written_examples_are_up_to_date(tmp_path: Path) -> None:
    assert main([str(tmp_path / "new")]) == 0
    assert main([str(tmp_path / "new"), "--check"]) == 0


def test_a_changed_example_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path)])
    (tmp_path / "pod.yaml").write_text("kind: Pod\n")
    assert main([str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path / 'pod.yaml'} is out of date; write it with python -m kubevip.manifest.deploy\n"
    )


def test_a_missing_example_is_told(tmp_path: Path) -> None:
    assert stale(tmp_path) == tuple(EXAMPLES)
