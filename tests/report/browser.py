"""A page in headless Chromium, driven by the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.conftest import CHROMIUM

_TIMEOUT_S = 60.0
_QUIET = (
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-sandbox", "--disable-gpu", "--headless",
)  # fmt: skip
_DRAWN = "[...document.querySelectorAll('.plot')].every(place => place.querySelector('svg.main-svg'))"


class BrowserPage:
    """One page; what it logs and asks for is kept.

    Args:
        folder: where the browser keeps its profile.

    Attributes:
        complaints: what stood in its console, and the scripts' exceptions.
        requests: URLs that it asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._profile = folder / "profile"
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._ids = itertools.count(1)
        self._session = ""

    def __enter__(self) -> Self:
        program = next(filter(None, map(shutil.which, CHROMIUM)))
        command = [program, *_QUIET, f"--user-data-dir={self._profile}", "--remote-debugging-port=0"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._connect())
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.run_until_complete(self._close())
        self._loop.close()
        self._process.terminate()
        self._process.wait(timeout=30)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Asks the browser for something, and gives its answer."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), _TIMEOUT_S))

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON has it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def show(self, page: Path, *, width: int, scheme: str = "light", height: int = 2000) -> None:
        """Opens a page at a width, on a phone where it is narrow, and waits until its figures are drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + _TIMEOUT_S
        while not self.evaluate(f"document.readyState === 'complete' && {_DRAWN}"):
            assert time.monotonic() < deadline, f"not drawn within {_TIMEOUT_S:g} s: {self.complaints}"
            time.sleep(0.1)

    def printed(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    def screenshot(self, file: Path) -> None:
        """The whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(data))

    async def _connect(self) -> None:
        file = self._profile / "DevToolsActivePort"
        deadline = time.monotonic() + _TIMEOUT_S
        while not file.exists() or len(file.read_text().splitlines()) < 2:
            assert self._process.poll() is None, "Chromium ended"
            assert time.monotonic() < deadline, "Chromium did not start"
            await asyncio.sleep(0.05)
        port, path = file.read_text().splitlines()
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0)

    async def _close(self) -> None:
        await self._socket.close()
        await self._http.close()

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        message = {"id": next(self._ids), "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": self._session} if self._session else {}))
        while (answer := await self._socket.receive_json()).get("id") != message["id"]:
            self._keep(answer)
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _keep(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(str(parameters))
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
