"""synthgen: synthetic robot demonstrations at the scale foundation models need."""

__version__ = "0.1.0"
