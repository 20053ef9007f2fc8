"""A benchmark's results: a JSON file, and the Markdown table that is printed from it.

    mkdir -p benchmarks/results; cd benchmarks/results
    python ../steps.py --json 2026-11-21-cpu-steps.json
    python ../ops.py --json 2026-11-21-cpu-ops.json
    python ../table.py 2026-11-21-cpu-steps.json 2026-11-21-cpu-ops.json > 2026-11-21-cpu.md

A report is {"title", "machine": facts in words, "rows": [{column: cell}]}. A cell is a text, a
number, or null for what was not measured.
"""

import json
import sys
from pathlib import Path
from typing import Any

Report = dict[str, Any]
NOT_MEASURED = "not measured"


def markdown(report: Report) -> str:
    """The report as Markdown that can also be read as it stands."""
    facts = [f"- {fact}: {value}" for fact, value in report["machine"].items()]
    return "\n".join([f"# {report['title']}", "", *facts, "", *table(report["rows"])])


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of a Markdown table, padded to equal width: words to the left, numbers right."""
    headings = list(rows[0])
    cells = [[text_of(row[heading]) for heading in headings] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells)]
    numeric = [any(not isinstance(row[heading], str) for row in rows) for heading in headings]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric)]
    lines = []
    for line in [headings, rule, *cells]:
        padded = (cell.rjust(width) if right else cell.ljust(width)
                  for cell, width, right in zip(line, widths, numeric))
        lines.append(f"| {' | '.join(padded)} |")
    return lines


def text_of(cell: Any) -> str:
    """A cell as it is printed: two or three digits of a number, or all before the point."""
    if cell is None:
        return NOT_MEASURED
    if isinstance(cell, str):
        return cell
    if cell >= 100:
        return f"{cell:.0f}"
    return f"{cell:.1f}" if cell >= 10 else f"{cell:.2f}"


def write(report: Report, path: str) -> None:
    """Write the report as JSON, in a folder that is made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    reports = (json.loads(Path(path).read_text()) for path in sys.argv[1:])
    print("\n\n".join(map(markdown, reports)))


if __name__ == "__main__":
    main()
