# usd-exchange's own stubs say that every bound C++ function returns None; here pxr is simply untyped.
from typing import Any

def __getattr__(name: str) -> Any: ...
