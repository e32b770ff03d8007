"""Memory and descriptors over a soak, as SVG."""

from __future__ import annotations

from typing import Any

__all__ = ["plot"]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 320, 60, 70, 20, 40


def plot(readings: list[dict[str, Any]]) -> str:
    """Memory (left axis) and descriptors (right axis) over minutes."""
    last = readings[-1]["seconds"]
    right, base = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]

    def line(name: str, colour: str, scale: float) -> float:
        """Draw one quantity. Returns its most, the top of its axis."""
        most = max(reading[name] for reading in readings) * scale * 1.15
        points = (
            f"{LEFT + (right - LEFT) * one['seconds'] / last:.1f},{base - (base - TOP) * one[name] * scale / most:.1f}"
            for one in readings
        )
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        return most

    def axis(most: float, colour: str, x: float, anchor: str, unit: str) -> None:
        for step in range(5):
            y = base - (base - TOP) * step / 4
            parts.append(
                f'<text x="{x}" y="{y + 4:.1f}" text-anchor="{anchor}" fill="{colour}">'
                f"{most * step / 4:,.{1 if most < 10 else 0}f}{unit}</text>"
            )

    for step in range(5):
        y = base - (base - TOP) * step / 4
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
    axis(line("memory", "#1f77b4", 1e-9), "#1f77b4", LEFT - 8, "end", " GB")
    axis(line("descriptors", "#ff7f0e", 1), "#ff7f0e", right + 8, "start", "")
    for minute in range(0, int(last / 60) + 1, max(1, round(last / 600))):
        x = LEFT + (right - LEFT) * minute * 60 / last
        parts.append(f'<text x="{x:.1f}" y="{base + 16}" text-anchor="middle">{minute}</text>')
    parts.append(f'<text x="{LEFT + 10}" y="{TOP + 12}" fill="#1f77b4">memory of all processes</text>')
    parts.append(f'<text x="{right - 10}" y="{TOP + 12}" text-anchor="end" fill="#ff7f0e">descriptors</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">minutes</text></svg>')
    return "\n".join(parts) + "\n"
