"""The asset packs: which wheel, which digest, which members, under which licence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AssetPack:
    """Part of a published wheel, unpacked as plain files.

    Attributes:
        name: what embodiments call it, and the folder's name under ``--asset-root``.
        project: the package's name on the index.
        version: its exact version.
        sha256: hex digest of the wheel file.
        prefix: folder inside the wheel that becomes the pack's root.
        members: what is unpacked, relative to ``prefix``; a trailing ``/`` means the whole folder.
        texts: licence files inside the wheel -> their name in the pack.
        needed: files that must exist for the folder to be taken for this pack.
        licence: what the wheel itself says about the licence of its content.
    """

    name: str
    project: str
    version: str
    sha256: str
    prefix: str
    members: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    needed: tuple[str, ...]
    licence: str

    @property
    def key(self) -> str:
        """Name of the pack's folder in the cache; another wheel or another choice of members gives another name."""
        text = "\n".join((self.sha256, self.prefix, *sorted(self.members), *(f"{a}>{b}" for a, b in self.texts)))
        return f"{self.name}-{self.version}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def target(self, member: str) -> str | None:
        """Where a file of the wheel goes in the pack ("robots/g1/robot.xml"), or None when it is not wanted."""
        for source, name in self.texts:
            if member == source:
                return name
        if not member.startswith(self.prefix) or member.endswith("/"):
            return None
        path = member[len(self.prefix) :]
        wanted = any(path.startswith(m) if m.endswith("/") else path == m for m in self.members)
        return path if wanted else None


ROBOSUITE = AssetPack(
    name="robosuite",
    project="robosuite",
    version="1.5.2",
    sha256="b9e02df55de8949739de6ba1d196d2ba59cf33c51a76efcfbe5c2f73cdcf99ce",
    prefix="robosuite/models/assets/",
    members=(
        "robots/panda/",
        "robots/gr1/",
        "grippers/panda_gripper.xml",
        "grippers/meshes/panda_gripper/",
        "grippers/fourier_left_hand.xml",
        "grippers/fourier_right_hand.xml",
        "grippers/meshes/fourier_hands/",
    ),
    texts=(
        ("robosuite-1.5.2.dist-info/licenses/LICENSE", "LICENSE"),
        ("robosuite-1.5.2.dist-info/licenses/AUTHORS", "AUTHORS"),
    ),
    needed=("robots/panda/robot.xml", "robots/gr1/robot.xml", "grippers/panda_gripper.xml"),
    licence="MIT (the wheel's LICENSE; its Panda, GR-1 and Fourier hand meshes carry no licence of their own)",
)

ROBOSUITE_MODELS = AssetPack(
    name="robosuite-models",
    project="robosuite-models",
    version="1.0.0",
    sha256="f764c44aef7fb36c8ebd2c4f27119678da6d662a419ca4f6f8a96dc4cbbf405d",
    prefix="robosuite_models/assets/",
    members=(
        "robots/g1/",
        "grippers/g1_three_finger_left_gripper.xml",
        "grippers/g1_three_finger_right_gripper.xml",
        "grippers/meshes/g1_three_finger_gripper/",
    ),
    texts=(("robosuite_models-1.0.0.dist-info/LICENSE", "LICENSE"),),
    needed=("robots/g1/robot.xml", "grippers/g1_three_finger_right_gripper.xml"),
    licence="MIT (the wheel's LICENSE; its G1 and three-finger hand meshes carry no licence of their own)",
)

PACKS: dict[str, AssetPack] = {p.name: p for p in (ROBOSUITE, ROBOSUITE_MODELS)}
