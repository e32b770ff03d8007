"""Optional dependencies of the distribution: which of them are installed, and the command that adds one."""

from __future__ import annotations

import importlib.util

import attrs

__all__ = ["Extra", "is_importable"]

_DISTRIBUTION = "mlx-openai-server-lab"


def is_importable(module: str) -> bool:
    """Whether a top-level module can be found. The module is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # imported, but without a spec
        return True


@attrs.frozen(kw_only=True)
class Extra:
    """An extra of `pyproject.toml`."""

    name: str
    modules: tuple[str, ...]
    """Top-level modules that it installs; the extra is installed when all of them are found."""
    adds: str
    """What it adds to the server, for people."""
    any_module: bool = False
    """The modules are alternatives: one of them is enough."""
    packages: str = ""
    """Its packages and what they need beyond an installed server, for `pip install --no-deps`. Empty: pip decides."""
    platform: str = ""
    """`sys.platform` that the extra is for; empty: every platform."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules that are not found; empty when the extra is installed."""
        absent = tuple(module for module in self.modules if not is_importable(module))
        return () if self.any_module and len(absent) < len(self.modules) else absent

    @property
    def command(self) -> str:
        """The shell command that installs it."""
        if self.packages:
            return f"pip install --no-deps {self.packages}"
        return f"pip install '{_DISTRIBUTION}[{self.name}]'"

    @property
    def refusal(self) -> str:
        """Why a model that needs this extra cannot be served, and the command that changes it."""
        return f"the extra `{self.name}` is not installed (missing: {', '.join(self.missing)}): {self.command}"
