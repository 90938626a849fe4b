"""Builds from a laptop over SSH, and images from machine to machine."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.machine import laptop


def test_a_context_travels_once_and_an_image_goes_on(busybox_tar: Path) -> None:
    with laptop() as made:
        context = made.home / "context"
        for number in range(30):
            (context / f"d{number}").mkdir(parents=True)
            for inner in range(30):
                (context / f"d{number}" / f"f{inner}").write_text(f"{number} {inner}\n")
        (context / "Dockerfile").write_text(
            "FROM busybox\nCOPY . /all\nRUN find /all -type f | wc -l > /count\n"
        )
        made.ok("create", "local", "one")
        made.ok("create", "local", "two")
        made.ok("--machine", "one", "load", "-i", str(busybox_tar))
        image = made.ok("--machine", "one", "build", "-t", "app:1", str(context))
        assert made.ok("--machine", "one", "run", "--rm", "app:1", "cat", "/count") == "901"
        assert made.ok("--machine", "one", "build", "-t", "app:1", str(context)) == image
        sent = made.pymachine("--machine", "one", "image", "push-to", "two", "app:1")
        assert (sent.code, "two  3 of 3 layers" in sent.err) == (0, True), sent
        assert made.ok("--machine", "two", "run", "--rm", "app:1", "cat", "/count") == "901"
        assert made.ok("--machine", "two", "image", "inspect", "-f", "{{.Id}}", "app:1") == image
        again = made.pymachine("--machine", "one", "image", "push-to", "two", "app:1")
        assert "has all 3 layers" in again.err, again
        bad = made.pymachine("--machine", "one", "image", "push-to", "ghost", "two", "app:1")
        assert (bad.code, "ghost" in bad.err, "✓ two" in bad.err) == (1, True, True), bad
        made.ok("rm", "--yes", "one", "two")
