"""The Isaac Lab backend: NVIDIA PhysX and Newton without Kit (``ovphysx``, ``newton``), and Isaac Sim (``isaacsim``).

Nothing here is imported unless one of these simulators is asked for.
"""
