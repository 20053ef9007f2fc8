"""What README shows can be pasted and runs."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_python_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(block.replace("train(step, 1000", "train(step, 30"), names)
    assert "digraph" in capsys.readouterr().out
    elbo = -names["history"].losses["-ELBO"]
    assert elbo[-5:].mean() > elbo[0] + 100
    assert names["pictures"].shape == (64, 784) and (tmp_path / "vae.npz").exists()


def test_the_lessons_listed_are_the_lessons_there():
    text = README.read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[\w+\]\((lessons/\w+\.py)\)", text, re.M)
    there = sorted(f"lessons/{path.name}" for path in README.parent.glob("lessons/[0-9][0-9]_*.py"))
    assert listed == there
