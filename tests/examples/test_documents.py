"""What README.md and the examples' own tell a reader to open, run or import is there."""

import argparse
import ast
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

import kubevip
from kubevip.cli import ALIASES, COMMANDS
from kubevip.config import add_flags
from kubevip.config.table import NAMES

CHECKOUT = Path(__file__).parents[2]
README = CHECKOUT / "README.md"
DOCUMENTS = [README, *sorted((CHECKOUT / "examples").glob("*/README.md"))]
_FILE = re.compile(r"[\w-]+/[\w./-]*|[\w-]+\.(md|toml|py|yaml)")
_DOTTED = re.compile(r"(?<![\w./-])kubevip(?:\.[A-Za-z_]\w*)+(?!\w|/|\.(?:py|md)\b)")
_KUBEVIP = ["python", "-m", "kubevip"]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))


def quoted(text):
    """Return what stands in backquotes within a line."""
    return re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"\s*\n\s*", " ", text))


def commands(text):
    """Return what a reader is told to run: indented lines and what is in backquotes, as words."""
    indented = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    found = []
    for line in [*indented, *quoted(text)]:
        try:
            found.append(shlex.split(line, comments=True))
        except ValueError:
            continue
    return [words for words in found if words]


def targets(text):
    return [target for words in commands(text) if words[0] == "make" for target in words[1:]]


def calls_of_kubevip(text):
    return [words[3:] for words in commands(text) if words[:3] == _KUBEVIP]


def parser_of(name):
    module = importlib.import_module(f"kubevip.cli.{ALIASES.get(name, name)}")
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    module.add_arguments(parser)
    return parser


def resolve(dotted):
    """Import what a dotted name means, be it a module or something in one."""
    parts = dotted.split(".")
    found = importlib.import_module(parts[0])
    for at, part in enumerate(parts[1:], start=2):
        found = getattr(found, part, None) or importlib.import_module(".".join(parts[:at]))
    return found


def code(text):
    """Return the syntax trees of the Python that a reader may copy, node by node."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(r"^ {4}(kubevip\..*)$", text, re.MULTILINE)
    for block in blocks:
        yield from ast.walk(compile(block, "<document>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))


def calls_in_code(text):
    """Return the calls of ``kubevip.something()``."""
    return [node for node in code(text) if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("kubevip.")]


def imports_in_code(text):
    """Return what is imported from modules of kubevip: module, names."""
    found = [node for node in code(text) if isinstance(node, ast.ImportFrom)]
    return [(node.module, [alias.name for alias in node.names]) for node in found if node.module.startswith("kubevip")]


@each_document
def test_files_that_are_linked_are_there(document):
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


def test_files_that_are_named_are_there():
    named = [text for text in quoted(README.read_text()) if _FILE.fullmatch(text)]
    assert "deploy/" in named
    assert not [text for text in named if not (CHECKOUT / text).exists()]


def test_targets_of_make_are_there():
    known = re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(targets(README.read_text())) <= set(known)


@each_document
def test_commands_are_there_with_their_flags(document):
    for name, *arguments in calls_of_kubevip(document.read_text()):
        assert name in COMMANDS.keys() | ALIASES.keys()
        parser_of(name).parse_args(arguments)


@each_document
def test_commands_of_the_installed_program_are_there(document):
    for program, *arguments in commands(document.read_text()):
        if program == "kubevip" and arguments:
            assert arguments[0] in COMMANDS.keys() | ALIASES.keys()


def test_each_command_that_a_reader_has_to_know_is_named():
    named = {name for name, *_ in calls_of_kubevip(README.read_text())}
    assert {"manifest", "backends", "emulator"} <= named


def test_settings_and_flags_are_there():
    text = README.read_text()
    parser = argparse.ArgumentParser()
    add_flags(parser)
    names = [name for name in quoted(text) if re.fullmatch(r"[a-z]+(_[a-z]+)+", name)]
    flags = [flag for flag in quoted(text) if re.fullmatch(r"--\w+", flag)]
    assert "vip_linger" in names
    assert not [name for name in names if name not in NAMES]
    assert not [flag for flag in flags if flag not in parser.format_help()]


@each_document
def test_names_of_the_library_are_there(document):
    text = document.read_text()
    imported = [f"{module}.{name}" for module, names in imports_in_code(text) for name in names]
    for dotted in {*_DOTTED.findall(text), *imported}:
        assert resolve(dotted) is not None


@each_document
def test_calls_of_the_library_fit_their_signatures(document):
    for call in calls_in_code(document.read_text()):
        signature = inspect.signature(resolve(ast.unparse(call.func)))
        signature.bind(*call.args, **{keyword.arg: keyword.value for keyword in call.keywords})


def test_the_library_is_shown_in_use():
    assert "kubevip.hold" in {ast.unparse(call.func) for call in calls_in_code(README.read_text())}
    assert inspect.isfunction(kubevip.hold)
