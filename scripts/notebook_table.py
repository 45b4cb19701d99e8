"""Print the results of the notebook experiments beside those of the notebooks, as Markdown.

python -m activeloop experiment=notebook_lenet5
python scripts/notebook_table.py outputs
"""

from __future__ import annotations

import argparse
from pathlib import Path

from activeloop.report.runs import read_run

# Test accuracy, mean least confidence and mean entropy that the notebooks report.
NOTEBOOKS = {
    "cnn_dropout": (0.9904, 0.0051, 0.0148),
    "cnn_sgd": (0.9923, 0.0048, 0.0133),
    "simple_cnn": (0.9880, 0.0041, 0.0106),
    "resnet18": (0.9931, 0.0055, 0.0195),
    "lenet5": (0.9899, 0.0073, 0.0206),
}
OTHERS = ("margin", "cosine_similarity", "l2_distance", "neighbor_kl")


def main() -> None:
    """Print a line for each notebook experiment found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("outputs", type=Path, nargs="?", default=Path("outputs"))
    outputs = parser.parse_args().outputs
    if not any(outputs.glob("notebook_*/mnist-*/*/run.db")):
        raise SystemExit(f"no notebook experiment in {outputs}: run one first, see --help")
    print(
        "| experiment | accuracy, notebook | ours | least confidence, notebook | ours "
        "| entropy, notebook | ours | margin | cosine similarity | L2 distance | neighbour KL |"
    )
    print("|" + "---|" * 11)
    for name, (accuracy, least_confidence, entropy) in NOTEBOOKS.items():
        runs = sorted((outputs / f"notebook_{name}").glob("mnist-*/*/run.db"))
        if not runs or (run := read_run(runs[-1].parent)) is None or not run.finished:
            continue
        ours = run.rounds[-1].metrics
        cells = [
            f"{accuracy:.2%}",
            f"{ours['accuracy']:.2%}",
            f"{least_confidence:.4f}",
            f"{ours['least_confidence']:.4f}",
            f"{entropy:.4f}",
            f"{ours['entropy']:.4f}",
            *(f"{ours[other]:.4f}" for other in OTHERS),
        ]
        print(f"| `{name}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
