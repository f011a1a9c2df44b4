"""Processes are found, and ended, by the mark in their environment."""

import os
import subprocess
import sys

from rayrl.pipeline.processes import MARK, end_marked, marked


def start(mark: str, *command: str) -> subprocess.Popen:
    return subprocess.Popen(command, env=os.environ | {MARK: mark}, start_new_session=True)


def test_exactly_the_marked_processes_are_ended_children_in_other_sessions_too():
    script = "import subprocess,time; subprocess.Popen(['sleep','60'],start_new_session=True); time.sleep(60)"
    with start("mine", sys.executable, "-c", script) as mine, start("other", "sleep", "60") as other:
        while len(marked("mine")) < 2:
            assert mine.poll() is None
        end_marked("mine")
        assert mine.wait(5) == -9
        assert marked("mine") == []
        assert other.poll() is None
        other.kill()


def test_a_process_just_begun_is_not_overlooked():
    script = "import os; os.fork(); os.execvp('sleep', ['sleep', '60'])"
    for _ in range(20):
        with start("begun", sys.executable, "-S", "-c", script) as begun:
            while not marked("begun"):
                assert begun.poll() is None
            end_marked("begun")
        assert marked("begun") == []


def test_a_spared_process_lives():
    with start("spared", "sleep", "60") as spared:
        while [process.pid for process in marked("spared")] != [spared.pid]:
            assert spared.poll() is None
        end_marked("spared", spare={spared.pid})
        assert spared.poll() is None
        spared.kill()
