"""`python -m tests.faults`: all scenarios, one line each; exit code 1 unless all are 0/0/0."""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore", category=DeprecationWarning)

from tests.faults.cluster import Cluster  # noqa: E402
from tests.faults.scenarios import EVENTS, SCENARIOS  # noqa: E402
from tests.faults.suite import Suite, why_no_small_disk  # noqa: E402
from tests.kafka_node import why_not_here  # noqa: E402


def main() -> int:
    chosen = _arguments()
    if reason := why_not_here():
        print(f"{reason}; run tests/setup.sh", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"logs are in {folder}", file=sys.stderr)
    no_disk = why_no_small_disk()
    are_fine = True
    with Cluster(folder / "node") as cluster:
        suite = Suite(cluster, folder, chosen.events, chosen.seed)
        for scenario in SCENARIOS:
            times = scenario.times[1 if chosen.quick else 0]
            if chosen.kills and scenario.name.startswith("kill -9"):
                times = chosen.kills
            if not (any(each in scenario.name for each in chosen.only) if chosen.only else times):
                continue
            if scenario.has_small_disk and no_disk:
                print(f"{scenario.name}: not offered, no file system can be mounted: {no_disk}")
                continue
            report = suite.run(scenario, times or scenario.times[0])
            print(report, flush=True)
            are_fine &= report.is_fine
    return 0 if are_fine else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, help="how often each of the two kill scenarios kills")
    parser.add_argument(
        "--only", action="append", help="scenarios with this in the name; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="as often as in `make test`")
    parser.add_argument("--events", type=int, default=EVENTS, help=f"simulated ones ({EVENTS:,})")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (1)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
