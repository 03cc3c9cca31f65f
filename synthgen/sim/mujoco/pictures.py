"""Drawing recorded states: colour, depth and segmentation of named cameras.

One GL context and one copy of the meshes on its side serve all sizes. Per state only the poses are computed
(``mj_kinematics``, ``mj_camlight``), and the list of things to draw is made once for all cameras and modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from synthgen.core.errors import SimulatorError, UsageError
from synthgen.core.project import nearest
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import CameraImages, RenderRequest, SimState
from synthgen.sim.mujoco.gl import open_context
from synthgen.sim.mujoco.looks import FAR, FIRST_PIXELS, NEAR
from synthgen.sim.mujoco.robot import HIDDEN_GROUP
from synthgen.sim.mujoco.sample_looks import SampleLooks
from synthgen.sim.mujoco.state import StateMap

MAX_PIXELS = 2048  # of a picture, each way
MODES = ("rgb", "depth", "segmentation")
STATIC, ROBOT, FIRST_BODY = 1, 2, 3  # values of a segmentation; 0 is the background


class Pictures:
    """A camera crew for one visual model. Use it from the thread that made it.

    Segmentation values: 0 nothing, 1 what belongs to no rigid body of the scene (table, floor), 2 the robot,
    3 + i the i-th body of the state layout. Depth is along the optical axis; 0 where there is nothing.

    Raises:
        MachineError: this machine cannot draw.
    """

    def __init__(self, model: mujoco.MjModel, scene: SceneSpec, states: StateMap) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        self._states = states
        self._looks = SampleLooks(model, scene)
        self._gl: Any = open_context(MAX_PIXELS, MAX_PIXELS)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        _sample_one_level(self._context)
        self._buffer = (FIRST_PIXELS, FIRST_PIXELS)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 64)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = bool(model.light_castshadow.any())
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option = mujoco.MjvOption()
        self._nothing_held = mujoco.MjvPerturb()
        self._option.geomgroup[HIDDEN_GROUP:] = 0
        self._option.sitegroup[:] = 0
        self._option.tendongroup[:] = 0
        self._cameras = {model.camera(i).name: i for i in range(model.ncam)}
        self._geom_value = _segmentation_values(model, states)
        self._pixels: dict[tuple[int, int], tuple[NDArray[np.uint8], NDArray[np.float32]]] = {}

    def check(self, request: RenderRequest) -> None:
        """Refuse what cannot be drawn.

        Raises:
            UsageError: an unknown camera or mode, or a size outside 1 .. 2048 pixels.
        """
        for name in request.cameras:
            if name not in self._cameras:
                raise UsageError(f"unknown camera {name!r}", remedy=nearest(name, self._cameras))
        for mode in request.modes:
            if mode not in MODES:
                raise UsageError(f"unknown picture mode {mode!r}", remedy=nearest(mode, MODES))
        if not (1 <= request.width <= MAX_PIXELS and 1 <= request.height <= MAX_PIXELS):
            raise UsageError(
                f"pictures of {request.width} x {request.height} pixels",
                remedy=f"choose sizes between 1 and {MAX_PIXELS}",
            )

    def draw(
        self, request: RenderRequest, states: SimState, samples: Mapping[int, SceneSample]
    ) -> dict[str, CameraImages]:
        """See ``Simulator.render``."""
        self.check(request)
        rows = len(states.joint_position)
        if rows and min(samples, default=1) > 0:
            raise SimulatorError("render: row 0 has no sample")
        self._gl.make_current()
        self._fit_buffer(request)
        size = (rows, request.height, request.width)
        rgb = {c: np.empty((*size, 3), np.uint8) for c in request.cameras} if "rgb" in request.modes else {}
        depth = {c: np.empty(size, np.float32) for c in request.cameras} if "depth" in request.modes else {}
        segments = {c: np.empty(size, np.int32) for c in request.cameras} if "segmentation" in request.modes else {}
        extrinsics = {c: np.empty((rows, 4, 4)) for c in request.cameras}
        view = mujoco.MjvCamera()
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        applied: SceneSample | None = None
        for row in range(rows):
            sample = samples.get(row)
            if sample is not None and sample is not applied:
                self._looks.apply(self._model, sample)
                applied = sample
            self._pose(states, row)
            for k, name in enumerate(request.cameras):
                view.fixedcamid = self._cameras[name]
                if k == 0:
                    self._list(view)
                else:
                    mujoco.mjv_updateCamera(self._model, self._data, view, self._scene)
                extrinsics[name][row] = self._extrinsics(self._cameras[name])
                if rgb:
                    rgb[name][row] = self._shoot(request, flat=False)[0]
                if depth or segments:
                    colors, distances = self._shoot(request, flat=True)
                    if depth:
                        depth[name][row] = _metres(distances)
                    if segments:
                        segments[name][row] = self._values(colors)
        return {
            c: CameraImages(
                rgb=rgb.get(c),
                depth=depth.get(c),
                segmentation=segments.get(c),
                intrinsics=self._intrinsics(self._cameras[c], request),
                extrinsics=extrinsics[c],
            )
            for c in request.cameras
        }

    def _fit_buffer(self, request: RenderRequest) -> None:
        """Clearing the off-screen buffer costs as much as its size: let it grow with the pictures asked for."""
        wanted = max(self._buffer[0], request.width), max(self._buffer[1], request.height)
        if wanted != self._buffer:
            mujoco.mjr_resizeOffscreen(*wanted, self._context)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
            self._buffer = wanted

    def _pose(self, states: SimState, row: int) -> None:
        self._states.write(self._data, states, row)
        if not np.isfinite(self._data.qpos).all():
            raise SimulatorError(f"render: row {row} of the states is not finite")
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def _list(self, view: mujoco.MjvCamera) -> None:
        """Make the list of things to draw: what moves first, since it mostly stands before what does not.

        Pixels that are covered already are cheaper (see ``SceneBuilder.build``).
        """
        moving, standing = int(mujoco.mjtCatBit.mjCAT_DYNAMIC), int(mujoco.mjtCatBit.mjCAT_STATIC)
        mujoco.mjv_updateScene(self._model, self._data, self._option, None, view, moving, self._scene)
        mujoco.mjv_addGeoms(self._model, self._data, self._option, self._nothing_held, standing, self._scene)

    def _shoot(self, request: RenderRequest, *, flat: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Draw and read back, top row first. ``flat``: every geom in its own number as colour, and depth."""
        size = (request.height, request.width)
        if size not in self._pixels:
            self._pixels[size] = np.empty((*size, 3), np.uint8), np.empty(size, np.float32)
        colors, distances = self._pixels[size]
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flat
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = flat
        rect = mujoco.MjrRect(0, 0, request.width, request.height)
        mujoco.mjr_render(rect, self._scene, self._context)
        mujoco.mjr_readPixels(colors, distances if flat else None, rect, self._context)
        return colors[::-1], distances[::-1]

    def _values(self, colors: NDArray[np.uint8]) -> NDArray[np.int32]:
        number = colors.astype(np.int64) @ np.array([1, 1 << 8, 1 << 16])
        table = np.zeros(self._scene.ngeom + 1, np.int32)
        kind = int(mujoco.mjtObj.mjOBJ_GEOM)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == kind:
                table[geom.segid + 1] = self._geom_value[geom.objid]
        return table[number]

    def _extrinsics(self, camera: int) -> NDArray[np.float64]:
        pose = np.eye(4)
        # MuJoCo cameras look along -z with y up; OpenCV's look along z with y down.
        pose[:3, :3] = self._data.cam_xmat[camera].reshape(3, 3) * [1.0, -1.0, -1.0]
        pose[:3, 3] = self._data.cam_xpos[camera]
        return pose

    def _intrinsics(self, camera: int, request: RenderRequest) -> NDArray[np.float64]:
        focal = request.height / 2 / np.tan(np.radians(self._model.cam_fovy[camera]) / 2)
        return np.array([[focal, 0.0, request.width / 2], [0.0, focal, request.height / 2], [0.0, 0.0, 1.0]])

    def close(self) -> None:
        """Free what the GL side holds; may be called twice."""
        if self._gl is None:
            return
        self._gl.make_current()
        self._context.free()
        self._gl.free()
        self._gl = None


def _sample_one_level(context: mujoco.MjrContext) -> None:
    """Read textures from the nearest reduced copy alone instead of blending two, as MuJoCo asks for.

    Nobody sees the difference at the sizes of data sets, and a software renderer saves 7 % of a picture.
    """
    from OpenGL import GL

    for kind, texture in zip(context.textureType[: context.ntexture], context.texture, strict=False):
        if kind == mujoco.mjtTexture.mjTEXTURE_2D:
            GL.glBindTexture(GL.GL_TEXTURE_2D, int(texture))
            GL.glTexParameteri(GL.GL_TEXTURE_2D, GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR_MIPMAP_NEAREST)


def _metres(buffer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reversed-z depth buffer (1 near, 0 far) -> metres along the optical axis, 0 for the background."""
    inverse = buffer.astype(np.float64) * (1 / NEAR - 1 / FAR) + 1 / FAR
    return np.where(buffer > 0, 1 / inverse, 0.0).astype(np.float32)


def _segmentation_values(model: mujoco.MjModel, states: StateMap) -> NDArray[np.int32]:
    """Value by geom id."""
    of_body = np.full(model.nbody, ROBOT, np.int32)
    of_body[0] = STATIC
    of_body[states.body_ids] = FIRST_BODY + np.arange(len(states.body_ids))
    return of_body[model.geom_bodyid]
