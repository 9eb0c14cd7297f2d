"""The packages of npm that tests of this folder need, installed when the first of them runs."""

from pathlib import Path

import pytest

from tests.support.npm import install, with_scripts


@pytest.fixture(scope="session")
def scripts(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of tests/contract/npm's scripts, ready to run."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        packages = install(report=print)
    return with_scripts(packages, tmp_path_factory.mktemp("scripts"))
