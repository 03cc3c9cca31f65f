"""The MuJoCo backend: models built from a scene and an embodiment, the simulator, and its pictures."""
