"""Versions against requirements, and which Ray would be used."""

from importlib.metadata import version

import pytest
from packaging.specifiers import SpecifierSet

from rayrl.doctor.software import check_ray_access, check_versions, judge_versions

ANY = SpecifierSet(">=3.11")
HAVE = {"ray": "2.59.0", "torch": "2.13.0+cpu", "numpy": "2.4.0rc1"}


def test_what_is_installed_here_fits():
    finding = check_versions()
    assert finding.state == "ok"
    assert f"ray {version('ray')}" in finding.message


def test_each_package_that_does_not_fit_is_named_with_what_to_install():
    needs = [
        "ray[default,tune]~=2.60.0",
        "torch>=2.6",
        "numpy>=2.0",
        "absent>=1",
        'mujoco; extra == "mujoco"',
    ]
    finding = judge_versions(needs=needs, python=ANY, installed=HAVE.get)
    assert finding.state == "problem"
    assert finding.message == "ray 2.59.0 is not ~=2.60.0; absent is not installed"
    assert finding.remedy == "pip install 'ray[default,tune]~=2.60.0' 'absent>=1'"


def test_a_python_that_is_too_old_is_named():
    finding = judge_versions(needs=[], python=SpecifierSet(">=4"), installed=HAVE.get)
    assert finding.message.endswith("is not >=4")
    assert "newer Python" in finding.remedy


def test_without_a_cluster_a_private_ray_is_started(tmp_path):
    finding = check_ray_access(None, {}, tmp_path)
    assert (finding.state, finding.facts["token_from"]) == ("ok", None)


def test_a_mode_without_a_token(tmp_path):
    finding = check_ray_access("http://127.0.0.1:9", {"RAY_AUTH_MODE": "token"}, tmp_path)
    assert finding.state == "problem"
    assert finding.message == "RAY_AUTH_MODE=token, but there is no token for http://127.0.0.1:9"


@pytest.mark.parametrize("source", ["RAY_AUTH_TOKEN", "file"])
def test_a_token_that_is_not_sent_is_named_when_the_cluster_does_not_answer(tmp_path, source):
    environ = {}
    if source == "file":
        source = str(tmp_path / ".ray" / "auth_token")
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("secret")
    else:
        environ[source] = "secret"
    finding = check_ray_access("http://127.0.0.1:9", environ, tmp_path)
    assert finding.state == "problem"
    assert "the cluster does not answer" in finding.message
    assert f"the token from {source} is sent only with RAY_AUTH_MODE=token" in finding.message
    assert "secret" not in finding.model_dump_json()
