"""Ray for a stage that runs in this process."""

import pytest

from rayrl.errors import ResourceError
from rayrl.pipeline import ray_session


def test_where_ray_does_not_start_it_is_said_and_nothing_stays(no_ray, tmp_path, monkeypatch):
    temp = tmp_path / "ray"
    temp.mkdir()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    monkeypatch.setattr(ray_session, "make_ray_temp", lambda: temp)
    monkeypatch.setattr(ray_session, "this_machine", lambda: {"CPU": -1.0, "GPU": 0.0})
    message = r"this machine: Ray did not start: .*-1"
    with pytest.raises(ResourceError, match=message), ray_session.ray_session():
        pass
    assert not temp.exists()
