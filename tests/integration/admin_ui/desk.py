"""The desk in a real Chromium, on a real admin API and a real database."""

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from admin_api.api import desk as served
from tests.integration.admin_api.api import TOKEN, Api
from tests.integration.delivery.browser import Tab, browser_tab

AXE = Path(__file__).parents[3] / "services/admin-api/node_modules/axe-core/axe.min.js"
BUILT = (served.built() / "index.html").is_file()

# Where to leave pictures for people: DESK_PICTURES=.cache/desk make test ARGS="tests/integration/admin_ui"
_PICTURES = os.environ.get("DESK_PICTURES")
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

COLORS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""The rules that a theme can break."""


@dataclass
class Desk:
    """One admin's tab. The names of `click` and `fill` are what is on the screen."""

    tab: Tab
    url: str
    mouse: list[str] = field(default_factory=list)
    """What was clicked on so far."""

    async def go(self, path: str) -> None:
        """Open an address of the desk and wait until it has read what it shows."""
        await self.tab.open(self.url + path)
        await self.settled()

    async def settled(self) -> None:
        await self.tab.wait(
            "document.querySelector('h1') !== null && !document.querySelector('.state .spinner, [aria-busy=true]')"
        )

    async def click(self, name: str, within: str = "body") -> None:
        """Click with a real mouse on what has this name: a text, or the start of one."""
        spot = f"""(() => {{
            const all = [...document.querySelector({json.dumps(within)}).querySelectorAll('button, a, [role=option], [role=menuitem], [role=tab], label, summary')];
            const named = (each) => (each.getAttribute('aria-label') ?? each.textContent).trim();
            const found = all.find((each) => named(each) === {json.dumps(name)}) ?? all.find((each) => named(each).startsWith({json.dumps(name)}));
            if (!found) return null;
            found.scrollIntoView({{block: 'center'}});
            const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        await self.tab.wait(f"{spot} !== null")
        x, y = await self.tab.js(spot)
        self.mouse.append(name)
        await self.click_at(x, y)

    async def click_at(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.tab.call("Input.insertText", text=text)

    async def key(self, key: str, *, control: bool = False) -> None:
        """Press a key."""
        text = {"text": key} if len(key) == 1 and not control else {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.tab.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=f"Key{key.upper()}" if len(key) == 1 else key,
                windowsVirtualKeyCode={"Enter": 13, "ArrowDown": 40, "Escape": 27}.get(key, ord(key[0].upper())),
                modifiers=2 if control else 0,
                **(text if kind == "keyDown" else {}),
            )

    async def sign_in(self, name: str, password: str) -> None:
        """Fill in the form for local accounts, and send it."""
        await self.focus("Name")
        await self.type(name)
        await self.focus("Password")
        await self.type(password)
        await self.key("Enter")

    async def focus(self, label: str, within: str = "body") -> None:
        """Put the focus into the field with this label."""
        found = f"[...(document.querySelector({json.dumps(within)})?.querySelectorAll('label, [aria-label]') ?? [])].find((each) => (each.getAttribute('aria-label') ?? each.textContent).startsWith({json.dumps(label)}))"
        await self.tab.wait(f"{found} !== undefined")
        await self.tab.js(
            f"(() => {{ const at = {found}; (at.control ?? at.querySelector('input, textarea, select') ?? at).focus(); }})()"
        )

    async def choose(self, label: str, value: str) -> None:
        """Choose from the list with this label, as a browser does."""
        await self.focus(label)
        await self.tab.js(f"""(() => {{
            const at = document.activeElement;
            Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set.call(at, {json.dumps(value)});
            at.dispatchEvent(new Event('change', {{bubbles: true}}));
        }})()""")

    async def see(self, text: str, within: str = "body") -> None:
        """Wait until a text is on the screen."""
        shown = f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(text)})"
        try:
            await self.tab.wait(shown, 45)  # a page without a stream asks every ten seconds
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in: {await self.text()}") from None

    async def text(self) -> str:
        return str(await self.tab.js("document.body.innerText"))

    async def violations(self, rules: dict[str, Any] = _RULES) -> list[str]:
        """Return what axe finds wrong with the page."""
        await self.tab.js(AXE.read_text(encoding="utf-8") + "; true")
        found = await self.tab.js(
            f"axe.run(document, {json.dumps(rules)}).then((found) => JSON.stringify(found.violations))"
        )
        return [
            f"{each['id']}: {[node['html'][:200] + ' ' + str(node.get('failureSummary', ''))[:300] for node in each['nodes']]}"
            for each in json.loads(found)
        ]

    async def theme(self, name: str) -> None:
        await self.tab.js(f"document.documentElement.dataset.theme = {json.dumps(name)}; true")

    async def picture(self, name: str) -> None:
        """Leave a picture, when somebody asked for pictures."""
        if _PICTURES:
            shot = await self.tab.call("Page.captureScreenshot", format="png")
            path = Path(_PICTURES) / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def open_desk(api: Api, *, width: int = 1280, height: int = 800, signed_in: bool = True) -> AsyncIterator[Desk]:
    """Open the desk, signed in. What the browser complained of fails the test at the end."""
    url = str(api.client.make_url("")).rstrip("/")
    async with browser_tab() as tab:
        await tab.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await tab.call("Emulation.setTimezoneOverride", timezoneId="Europe/Berlin")
        if signed_in:
            source = f"sessionStorage.setItem('bitloot.token', {json.dumps(TOKEN)})"
            await tab.call("Page.addScriptToEvaluateOnNewDocument", source=source)
        desk = Desk(tab, url)
        yield desk
        assert tab.complaints == [], tab.complaints


def complaint_of(tab: Tab, part: str) -> list[Any]:
    """Return and forget the complaints that are expected."""
    found = [each for each in tab.complaints if part in each]
    tab.complaints[:] = [each for each in tab.complaints if part not in each]
    return found
