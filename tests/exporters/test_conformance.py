"""Every built-in format passes the public suite."""

from __future__ import annotations

from synthgen.core.project import Project
from synthgen.testing.exporter_tests import ExporterTests

FORMATS = Project.of().load("exporters", "exporter")


class TestLerobot(ExporterTests):
    exporter = FORMATS["lerobot"]


class TestLerobotLanguage(ExporterTests):
    exporter = FORMATS["lerobot-language"]


class TestGr00t(ExporterTests):
    exporter = FORMATS["gr00t"]


class TestRobomimic(ExporterTests):
    exporter = FORMATS["robomimic"]


class TestIsaacLab(ExporterTests):
    exporter = FORMATS["isaaclab"]


class TestZarr(ExporterTests):
    exporter = FORMATS["zarr"]


class TestZarrJpeg(ExporterTests):
    exporter = FORMATS["zarr-jpeg"]


class TestReplayBuffer(ExporterTests):
    exporter = FORMATS["zarr-v2"]
