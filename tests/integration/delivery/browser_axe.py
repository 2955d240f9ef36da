"""Accessibility, as axe sees it (https://github.com/dequelabs/axe-core)."""

from importlib.resources import files
from typing import Any

from tests.integration.delivery.browser import Tab

_AXE = files("axe_core_python").joinpath("axe.min.js").read_text()


async def violations(tab: Tab) -> list[str]:
    """Return what axe finds wrong with the page as it stands: rule, and the elements.

    The script is given by the debugger, so the page's own policy stays as it is.
    """
    await tab.js(_AXE)
    found: list[dict[str, Any]] = await tab.js("axe.run().then(result => result.violations)")
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]
