"""The page in a real browser: figures draw, the console is clean, and nothing asks for the network."""

import re
import shutil
import subprocess

import pytest

from rayrl.report import build_report
from tests.conftest import CHROMIUM
from tests.report.run_folder import write_run
from tests.report.test_build import FIGURES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return build_report(write_run(tmp_path_factory.mktemp("run")))


def chromium(tmp_path, *arguments):
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", *quiet]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000"]
    command += ["--enable-logging=stderr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)


@pytest.mark.parametrize("width", [1280, 500])
def test_every_figure_draws_in_its_width_and_the_console_is_clean(page, tmp_path, width):
    done = chromium(tmp_path, f"--window-size={width},2000", "--dump-dom", page.as_uri())
    figures = re.findall(
        r'id="figure-\w+" class="plot[^"]*".*?<svg class="main-svg"[^>]*width="(\d+)"', done.stdout
    )
    assert len(figures) == len(FIGURES)
    assert all(width / 2 < int(drawn) <= width for drawn in figures)
    assert 'class="legendtext"' in done.stdout
    assert "CONSOLE" not in done.stderr


def test_a_script_that_is_not_the_pages_own_does_not_run(page, tmp_path):
    changed = tmp_path / "changed.html"
    text = page.read_text().replace("<h1>", "<script>document.title = 'taken'</script><h1>", 1)
    changed.write_text(text)
    done = chromium(tmp_path, "--dump-dom", changed.as_uri())
    assert "<title>router-warm-start – rayrl report</title>" in done.stdout
    assert "Content Security Policy" in done.stderr


def test_the_page_prints(page, tmp_path):
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", page.as_uri())
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
