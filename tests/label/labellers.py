"""A person at the label page in Chromium: presses keys, and sees what is shown."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

PATIENCE = 60.0  # seconds until something that must come is missed


class Labeller:
    """One window of the page.

    Args:
        driver: of Chromium.
        window: its handle; None: the one that is there.
    """

    def __init__(self, driver: Any, window: str | None = None) -> None:
        self.driver = driver
        self.window = window or driver.current_window_handle
        driver.looked_at = self.window  # the driver would be asked before each step

    def look(self) -> None:
        """Have the driver act on this window."""
        if self.driver.looked_at != self.window:
            self.driver.switch_to.window(self.window)
            self.driver.looked_at = self.window

    def close(self) -> None:
        """Close the window."""
        self.look()
        self.driver.close()
        self.driver.looked_at = None

    def open(self, url: str, name: str | None = None) -> Labeller:
        """Load the page; with a name, answer the question for one."""
        self.look()
        self.driver.get(url)
        self.do("performance.setResourceTimingBufferSize(10_000)")  # of 250: see has_loaded
        if name is not None:
            self.wait(lambda: self.shown("dialog"), "the question for a name")
            self.type(name, Keys.ENTER)
            self.wait(lambda: not self.shown("dialog"), "the end of the dialog")
        return self

    def leave(self) -> None:
        """Have the page do nothing more by itself: another server may take its own's place."""
        self.do("for (let timer = setTimeout(() => {}); timer > 0; timer--) clearTimeout(timer)")

    @contextmanager
    def known_as(self, name: str | None) -> Iterator[None]:
        """Begin with nothing kept but a name: nobody is asked for one. None: not even that."""
        script = f"""
            const [name, turn] = {json.dumps([name, uuid.uuid4().hex])};
            if (sessionStorage.turn !== turn) {{
              localStorage.clear();
              sessionStorage.clear();
              sessionStorage.turn = turn;
            }}
            if (name) localStorage["activeloop label name"] ??= name;
        """
        added = self.driver.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": script}
        )
        yield
        self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def do(self, script: str, *arguments: object) -> Any:
        self.look()
        return self.driver.execute_script(script, *arguments)

    def wait(self, told: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + PATIENCE
        while not (value := told()):
            assert time.monotonic() < end, f"{what} did not come; the page: {self.text('body')}"
            time.sleep(0.02)
        return value

    def type(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.look()
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def type_with(self, held: str, key: str) -> None:
        """Press a key while another one is held."""
        self.look()
        chain = ActionChains(self.driver, duration=0)
        chain.key_down(held).send_keys(key).key_up(held).perform()

    def press(self, *keys: str) -> None:
        """Press keys one by one, each once an image is there."""
        for key in keys:
            self.wait(lambda: self.image() is not None, "an image")
            self.type(key)

    def click(self, text: str, inside: str = "body") -> None:
        """Click the button with this text, or this name."""
        found = self.wait(
            lambda: self.do(
                "return [...document.querySelectorAll(arguments[1] + ' button')].find((b) => "
                "b.checkVisibility() && !b.disabled && (b.firstChild?.textContent === arguments[0] "
                "|| b.textContent === arguments[0] "
                "|| b.getAttribute('aria-label') === arguments[0]))",
                text,
                inside,
            ),
            f"a button {text!r}",
        )
        found.click()

    def image(self) -> int | None:
        """Return the number of the image that is shown large, if one is."""
        drawn = ".stage:not([aria-busy=true]) img"
        source = self.do(f"return document.querySelector('{drawn}')?.getAttribute('src')")
        return int(source.split("/")[2].split("?")[0]) if source else None

    def see(self, index: int) -> None:
        self.wait(lambda: self.image() == index, f"image {index}")

    def saved(self) -> None:
        self.wait(lambda: self.text(".saved") == "all saved", "'all saved'")

    def hear(self) -> None:
        """Have the page ask how it goes now, not in two seconds."""
        self.do("dispatchEvent(new Event('online'))")

    def heard(self) -> None:
        """Have the page know how it goes now."""
        script = """return performance.getEntriesByType('resource').some(
            (e) => e.name.includes('/api/status') && e.startTime >= arguments[0])"""
        now = self.do("return performance.now()")
        self.hear()
        self.wait(lambda: self.do(script, now), "how it goes")

    def shown(self, selector: str) -> bool:
        return bool(
            self.do(
                "return [...document.querySelectorAll(arguments[0])]"
                ".some((e) => e.checkVisibility())",
                selector,
            )
        )

    def has_loaded(self, part: str) -> bool:
        """Return whether something with this in its address has come from the server, or cannot."""
        script = "return performance.getEntriesByType('resource').some((e) => e.name.includes(%s))"
        return bool(self.do(script % json.dumps(part)))

    def ready(self, *images: int) -> None:
        """Wait until these are there, to be shown whatever becomes of the server."""
        for image in images:
            part = f"/images/{image}?size=large"
            self.wait(lambda part=part: self.has_loaded(part), f"image {image}")

    def says(self, text: str, selector: str = "body") -> None:
        self.wait(lambda: text in self.text(selector), repr(text))

    def text(self, selector: str) -> str:
        """Return the text that can be seen in the first such element, or nothing."""
        return str(
            self.do("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        )

    def texts(self, selector: str) -> list[str]:
        return list(
            self.do(
                "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)",
                selector,
            )
        )

    def screen(self, width: int = 1280, height: int = 800, scheme: str = "light") -> None:
        """Look at the page on another screen."""
        self.look()
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def complaints(self) -> list[str]:
        """Return what the console holds against the page: errors, breaches of its policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


def other_person(driver: Any, url: str) -> tuple[Labeller, str]:
    """Open a window that shares neither storage nor cookies with the first, which is at 127.0.0.1.

    Returns:
        Who is there, and the address that they use.
    """
    driver.switch_to.new_window("window")
    return Labeller(driver), url.replace("127.0.0.1", "localhost")


#: Measures, in the page, the milliseconds from a key to the frame that has the next image, and
#: counts the images that were not there yet when their turn came.
STOPWATCH = """
window.delays = [];
window.late = 0;
let pressed = null;
addEventListener("keydown", (event) => (pressed = event.timeStamp), true);
new MutationObserver(() => {
  if (pressed === null) return;
  const from = pressed;
  pressed = null;
  const image = document.querySelector(".stage img");
  const take = () => window.delays.push(performance.now() - from);
  const at = () => requestAnimationFrame(() => setTimeout(take));
  if (image?.complete) return at();
  window.late += 1;
  image?.addEventListener("load", at);
}).observe(document.querySelector(".pane"), { childList: true });
"""
