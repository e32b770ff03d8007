"""Names that other servers have for the parsers of this one.

`auto` stands for formats that have no name here: the engine detects the format of the model, and the generic format of
tool calls serves models without one.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REASONING_PARSERS", "TOOL_CALL_PARSERS"]

TOOL_CALL_PARSERS: Mapping[str, str] = {
    "deepseek": "auto",
    "functionary": "auto",
    "functiongemma": "function_gemma",
    "glm45": "glm47",
    "glm4_moe": "glm47",
    "gpt_oss": "harmony",
    "granite": "auto",
    "hermes": "json_tools",
    "iquest_coder_v1": "json_tools",
    "kimi": "kimi_k2",
    "llama": "auto",
    "llama3_json": "auto",
    "llama4_pythonic": "pythonic",
    "longcat_flash_lite": "longcat",
    "minimax": "minimax_m2",
    "nemotron": "auto",
    "nemotron3_nano": "qwen3_coder",
    "openai": "harmony",
    "qwen": "json_tools",
    "qwen3": "json_tools",
    "qwen3_moe": "json_tools",
    "qwen3_vl": "json_tools",
    "qwen3_xml": "qwen3_coder",
    "solar_open": "auto",
    "step_35": "qwen3_coder",
    "xlam": "auto",
}
"""Of `--tool-call-parser`."""

REASONING_PARSERS: Mapping[str, str] = {
    "glm45": "glm47",
    "glm47_flash": "glm47",
    "glm4_moe": "glm47",
    "hermes": "think",
    "kimi_k2": "think",
    "minimax_m2": "think",
    "mixed_think_tool_handoff": "think",
    "nemotron3_nano": "think",
    "openai_gptoss": "gpt_oss",
    "qwen3_5": "qwen3",
    "qwen3_moe": "qwen3",
    "qwen3_vl": "qwen3",
    "solar_open": "auto",
    "step_35": "think",
}
"""Of `--reasoning-parser`."""
