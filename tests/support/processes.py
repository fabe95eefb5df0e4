"""Which processes of a test are alive."""

from __future__ import annotations

from pathlib import Path


def find_processes(text: str) -> list[str]:
    """Command lines of all living processes that mention `text`, the folder of a net for instance."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if text in command and state != "Z":
            found.append(f"{entry.name}: {command}")
    return found
