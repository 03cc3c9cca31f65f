"""The data set card: a README.md that says what is in the data set and how it was made."""

from __future__ import annotations

import json
from pathlib import Path

from synthgen.formats.features import CONVENTIONS, frame_features
from synthgen.formats.manifest import ShardManifest

LAYOUTS = {
    "lerobot": "LeRobot v3.0",
    "lerobot-language": "LeRobot v3.0 with language columns",
    "gr00t": "LeRobot v2.1 with meta/modality.json, as Isaac-GR00T reads it",
    "zarr": "LeRobot-style Zarr, one mp4 per episode",
    "zarr-jpeg": "LeRobot-style Zarr, one JPEG per frame",
    "zarr-v2": "Zarr v2, as diffusion_policy's ReplayBuffer reads it",
    "robomimic": "robomimic HDF5",
    "isaaclab": "Isaac Lab HDF5",
}


def write_card(root: Path, manifest: ShardManifest) -> None:
    """Write ``README.md``."""
    (root / "README.md").write_text(card(manifest))


def card(manifest: ShardManifest) -> str:
    """The card's text: YAML for the Hugging Face hub, then words and tables."""
    d = manifest.dataset
    minutes = manifest.frames / d.fps / 60
    low, high = manifest.lengths or (0, 0)
    is_lerobot = manifest.format.startswith("lerobot")
    configs = ["configs:", "- config_name: default", "  data_files: data/*/*.parquet"] if is_lerobot else []
    yaml = [
        "---",
        "license: other",
        "task_categories:",
        "- robotics",
        "tags:",
        "- LeRobot",
        "- synthetic",
        *configs,
        "---",
    ]
    scenes = sorted(f"{s['file']} (sha256 {s['digest'][:12]})" for s in manifest.scenes)
    layout = LAYOUTS.get(manifest.format, manifest.format)
    text = [
        *yaml,
        f"# {d.name}: {', '.join(sorted(manifest.tasks))}",
        "",
        f"{manifest.episodes} demonstrations ({manifest.frames} frames at {d.fps} Hz, {minutes:.1f} minutes; {low} to "
        f"{high} frames each) of the robot `{d.embodiment}`, made in simulation by synthgen. Every one reached its "
        "task's success condition, and again when its recorded actions were replayed.",
        "",
        f"Layout: {layout}.",
        "",
        "| | |",
        "|---|---|",
        f"| robot type | `{d.robot_type}` (Isaac-GR00T tag `{d.gr00t_tag}`) |",
        f"| scene | {', '.join(scenes)} |",
        f"| cameras | {', '.join(f'{c.name} {c.width}x{c.height}' for c in d.cameras) or 'none'} |",
        f"| end effectors | {', '.join(d.end_effectors)} |",
        f"| seeds | {', '.join(manifest.seeds)} |",
        f"| licence of the robot's assets | {d.licence} |",
        "",
        "## Tasks",
        "",
        "| task | demonstrations |",
        "|---|---|",
        *(f"| {t} | {n} |" for t, n in sorted(manifest.tasks.items())),
        "",
        f"{len(manifest.instructions)} different instructions, for example:",
        "",
        *(f"- {i}" for i in manifest.instructions[:5]),
        "",
        "## State and action",
        "",
        "| group | values | joints |",
        "|---|---|---|",
    ]
    at = 0
    for g in d.groups:
        text.append(f"| {g.name} | {at}:{at + len(g.joints)} | {', '.join(g.joints)} |")
        at += len(g.joints)
    text += ["", "## Columns", "", "| column | values | type |", "|---|---|---|"]
    text += [f"| `{f.name}` | {f.width} | {f.dtype} |" for f in frame_features(d)]
    text += ["", "## Conventions", "", "| | |", "|---|---|", *(f"| `{k}` | {v} |" for k, v in CONVENTIONS.items())]
    text += [
        "",
        "What else is known of each episode – seeds, every random draw, the scene sample, camera calibration, recorded "
        "simulator states, versions – lies in `meta/records/` (see docs/formats.md of synthgen).",
        "",
        "## How it was made",
        "",
        "```",
        d.command,
        "```",
        "",
        *(f"- {json.dumps(f, sort_keys=True)}" for f in manifest.fingerprints),
        "",
    ]
    return "\n".join(text)
