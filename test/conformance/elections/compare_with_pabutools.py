"""Equal Shares on elections with points and ranks, ours beside pabutools' (https://pypi.org/project/pabutools).

    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install pabutools==1.2.3
    /tmp/peer/bin/python test/conformance/elections/compare_with_pabutools.py [FOLDER OF .pb FILES]

The published outcomes of `npm run conformance:elections` know Equal Shares on approval ballots only. Here pabutools is
given the utilities that `beamtime tally` states for the other ballots: the points, or Borda points as the cities give
them, and for `--utility cost` those times the cost. Not part of any check, for pabutools is no dependency of ours.
pabutools breaks ties by name and we by lot: a difference is explained where we print a tie. Exit code 1 otherwise.
"""

import json
import subprocess
import sys
from pathlib import Path

from pabutools.election import OrdinalBallot, parse_pabulib
from pabutools.election.satisfaction import AdditiveSatisfaction
from pabutools.rules import method_of_equal_shares
from pabutools.tiebreaking import lexico_tie_breaking

ROOT = Path(__file__).resolve().parents[3]


def satisfaction_of(places: int, times_cost: bool) -> type[AdditiveSatisfaction]:
    """Points, or Borda points of a full ballot with so many places; times the project's cost or not."""

    def utility(_instance, _profile, ballot, project, _precomputed):
        if project not in ballot:
            return 0
        ranked = isinstance(ballot, OrdinalBallot)
        points = max(0, places - list(ballot).index(project)) if ranked else ballot[project]
        return points * project.cost if times_cost else points

    class Satisfaction(AdditiveSatisfaction):
        def __init__(self, instance, profile, ballot):
            super().__init__(instance, profile, ballot, utility)

    return Satisfaction


def ours(path: Path, utility: str) -> tuple[list[str], int]:
    command = ["node", str(ROOT / "apps/cli/dist/main.js"), "tally", str(path), "--rule", "equal-shares"]
    command += ["--utility", utility, "--completion", "none", "--json"]
    tally = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return sorted(tally["winners"]), len(tally["ties"])


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "../shared/data/elections")
    counts = {"equal": 0, "explained by a tie": 0, "DIFFERENT": 0}
    for path in sorted(folder.glob("*.pb"), key=lambda p: p.stat().st_size):
        head = path.read_text(encoding="utf-8-sig", errors="replace")[:4000]
        if not any(f"vote_type;{kind}" in head for kind in ("cumulative", "scoring", "ordinal")):
            continue
        instance, profile = parse_pabulib(str(path))
        places = int(instance.meta.get("max_length") or max(len(ballot) for ballot in profile))
        for utility in ("cardinality", "cost"):
            satisfaction = satisfaction_of(places, utility == "cost")
            theirs = sorted(
                project.name
                for project in method_of_equal_shares(
                    instance, profile, sat_class=satisfaction, tie_breaking=lexico_tie_breaking
                )
            )
            winners, ties = ours(path, utility)
            word = "equal" if winners == theirs else "explained by a tie" if ties else "DIFFERENT"
            counts[word] += 1
            print(f"{path.name:60} {len(profile):7} {utility:12} {word}", flush=True)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["DIFFERENT"] else 0


if __name__ == "__main__":
    sys.exit(main())
