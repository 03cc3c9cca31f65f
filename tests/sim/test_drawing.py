"""What makes pictures cheap without a GPU: see docs/simulators.md."""

from __future__ import annotations

import mujoco
import pytest

from synthgen.core.project import builtin_root
from synthgen.core.simulator import RenderRequest, SimState
from synthgen.core.spec import EpisodeSpec
from synthgen.embodiments import registry
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.mujoco.pictures import Pictures
from synthgen.sim.mujoco.simulator import MujocoSimulator
from synthgen.usd.load import load_scene
from synthgen.usd.sample import sample_scene


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """Those of Franka in the tabletop scene, after a first picture."""
    scene = load_scene(builtin_root() / "scenes" / "tabletop.usda")
    sample = sample_scene(scene, EpisodeSpec(task="pick_place", embodiment="franka", slot=0, attempt=0, entropy=1))
    sim = MujocoSimulator(root_of=AssetStore().root)
    sim.load(scene, registry.load("franka"), fps=20)
    sim.reset({0: sample})
    request = RenderRequest(cameras=(scene.cameras[0].name,), width=64, height=64)
    sim.render(request, SimState.stack([sim.state()]), {0: sample})
    assert sim._pictures is not None
    return sim._pictures


def test_what_stands_far_behind_is_listed_last(pictures: Pictures) -> None:
    listed = [pictures._model.geom(g.objid).name for g in pictures._scene.geoms[: pictures._scene.ngeom]]
    at = {name: i for i, name in enumerate(listed)}
    hand = max(i for name, i in at.items() if name.startswith("panda_hand"))
    block = max(i for name, i in at.items() if name.startswith("/World/Objects/"))
    table, walls = at["/World/Table/Top"], [i for name, i in at.items() if name.startswith("/World/Room/")]
    assert max(hand, block) < table < min(walls)


def test_textures_are_read_from_one_level(pictures: Pictures) -> None:
    from OpenGL import GL

    pictures._gl.make_current()
    context, found = pictures._context, []
    for kind, texture in zip(context.textureType[: context.ntexture], context.texture, strict=False):
        if kind == mujoco.mjtTexture.mjTEXTURE_2D:
            GL.glBindTexture(GL.GL_TEXTURE_2D, int(texture))
            found.append(int(GL.glGetTexParameteriv(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER)))
    assert found and set(found) == {int(GL.GL_LINEAR_MIPMAP_NEAREST)}
