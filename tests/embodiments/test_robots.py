"""The three built-in robots pass the public suite, also inside the models that the MuJoCo simulator really uses."""

from synthgen.embodiments.assets import AssetStore
from synthgen.embodiments.registry import load
from synthgen.testing.embodiment_tests import EmbodimentTests

STORE = AssetStore()


class BuiltinTests(EmbodimentTests):
    name = ""

    def embodiment(self):
        return load(self.name)

    def asset_root_of(self, pack):
        return STORE.root(pack)


class TestFranka(BuiltinTests):
    name = "franka"


class TestGr1(BuiltinTests):
    name = "gr1"


class TestG1(BuiltinTests):
    name = "g1"
