"""What is built from the checkout, and what it is when it is installed where nothing else of the checkout is."""

import configparser
import importlib.util
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import attrs
import pytest

from kubevip.version import __version__

CHECKOUT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
PACKAGES = {"kubevip": CHECKOUT} | {
    f"kubevip_{name}": CHECKOUT / "backends" for name in ("arp", "bgp", "ndp", "routes")
}
BACKENDS = {
    "arp": "kubevip_arp:ArpBackend",
    "bgp": "kubevip_bgp:BgpBackend",
    "ndp": "kubevip_ndp:NdpBackend",
    "routes": "kubevip_routes:RoutesBackend",
}
SOURCES = PYPROJECT["project"]["entry-points"]["kubevip.ipam"]
HATCHLING = importlib.util.find_spec("hatchling") is not None


def run(*command, cwd):
    """Run a command with an environment of its own; return what it prints."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip(*arguments):
    """Run pip, which may ask a package index for the build backend where that isn't installed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


def build(source, directory):
    """Build the wheel of a source tree or archive."""
    isolation = ["--no-build-isolation"] if HATCHLING else ["--retries=0", "--timeout=5"]
    done = pip("wheel", "--no-deps", *isolation, f"--wheel-dir={directory}", str(source))
    if done.returncode and not HATCHLING:
        pytest.skip(f"no build backend: hatchling isn't installed, and pip can't get it: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


def names_in(wheel):
    """Return the files of a wheel but for those that describe it."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def described(wheel, name):
    """Return one of the files that describe a wheel."""
    return zipfile.ZipFile(wheel).read(f"kubevip-{__version__}.dist-info/{name}").decode()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(CHECKOUT, tmp_path_factory.mktemp("wheel"))


@attrs.frozen
class Installation:
    """A virtual environment, and a directory that has nothing to do with it to run its commands in."""

    path: Path
    elsewhere: Path

    def run(self, command, *arguments):
        return run(str(self.path / "bin" / command), *arguments, cwd=self.elsewhere)

    def install(self, wheel):
        done = pip("--python", str(self.path / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel in an environment that shares all packages with this one but for kubevip itself."""
    directory = tmp_path_factory.mktemp("installed")
    path, elsewhere = directory / "venv", directory / "elsewhere"
    elsewhere.mkdir()
    venv.create(path, symlinks=True)
    (packages,) = path.glob("lib/python*/site-packages")
    for origin in {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}:
        for entry in origin.iterdir():
            if not (entry.name.startswith(("kubevip", "_kubevip", "pip")) or entry.suffix == ".pth"):
                (packages / entry.name).symlink_to(entry)
    installation = Installation(path, elsewhere)
    installation.install(wheel)
    return installation


def test_wheel_has_all_modules_and_nothing_else(wheel):
    modules = {
        str(path.relative_to(root))
        for package, root in PACKAGES.items()
        for path in (root / package).rglob("*")
        if path.suffix == ".py"
    }
    assert names_in(wheel) == modules | {"kubevip/py.typed"}


def test_wheel_declares_commands_and_plugins(wheel):
    points = configparser.ConfigParser()
    points.read_string(described(wheel, "entry_points.txt"))
    project = PYPROJECT["project"]
    declared = {group: dict(points[group]) for group in points.sections()}
    assert declared == {"console_scripts": project["scripts"], **project["entry-points"]}
    assert declared["kubevip.backends"] == BACKENDS
    assert declared["console_scripts"]["kubevip"] == "kubevip.cli:main"


def test_wheel_says_what_it_is_and_needs(wheel):
    about = Parser().parsestr(described(wheel, "METADATA"))
    assert about["Version"] == __version__
    assert about["Requires-Python"] == PYPROJECT["project"]["requires-python"]
    assert about.get_payload().rstrip() == (CHECKOUT / "README.md").read_text().rstrip()
    needed = {each for each in about.get_all("Requires-Dist") if "extra ==" not in each}
    assert needed == {each.replace("_", "-") for each in PYPROJECT["project"]["dependencies"]}


@pytest.mark.skipif(not HATCHLING, reason="no hatchling, which builds the source distribution")
def test_source_distribution_makes_the_same_wheel(wheel, tmp_path):
    run(sys.executable, "-m", "hatchling", "build", "--target=sdist", f"--directory={tmp_path}", cwd=CHECKOUT)
    (archive,) = tmp_path.glob("*.tar.gz")
    assert names_in(build(archive, tmp_path)) == names_in(wheel)


def test_installed_library_is_the_one_of_the_wheel(installed):
    code = "import kubevip, kubevip.testing, kubevip.plugin; print(kubevip.hold.__name__, kubevip.__file__)"
    name, file = installed.run("python", "-c", code).split()
    assert name == "hold"
    assert Path(file).is_relative_to(installed.path)


@pytest.mark.parametrize("command", [("kubevip",), ("python", "-m", "kubevip")])
def test_installed_command_finds_the_bundled_plugins(installed, command):
    listed = [re.split(r" {2,}", line) for line in installed.run(*command, "backends").splitlines()]
    origins = {name: origin for name, _kind, origin in listed}
    assert origins == {name: f"{where} of kubevip {__version__}" for name, where in (BACKENDS | SOURCES).items()}


@pytest.mark.skipif(not HATCHLING, reason="no hatchling, which builds the example")
def test_backend_of_another_distribution_is_found_when_it_is_installed(installed, tmp_path):
    before = installed.run("kubevip", "backends")
    installed.install(build(CHECKOUT / "examples" / "third_party_backend", tmp_path))
    (added,) = set(installed.run("kubevip", "backends").splitlines()) - set(before.splitlines())
    assert added.split()[0] == "command"
    assert " of kubevip-command " in added
