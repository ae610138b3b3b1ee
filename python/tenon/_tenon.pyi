# What the C part has; tenon/_model.py is its only user.
from os import PathLike
from typing import Any

class Error(RuntimeError):
    """What the C API reports."""

    status: str
    """The name of the status: "invalid tensor"."""

class Tensor:
    """A result in memory of its own: the buffer protocol, DLPack."""

    dtype: str
    shape: tuple[int, ...]
    def __dlpack__(self, **hints: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

class Library:
    def __init__(self, path: str | PathLike[str], verify: bool = False) -> None: ...
    def inputs(self) -> list[dict[str, Any]]: ...
    def outputs(self) -> list[dict[str, Any]]: ...
    def info(self) -> dict[str, Any]: ...

class Context:
    def __init__(
        self,
        library: Library,
        threads: int = 0,
        level: str | None = None,
        weights: str | None = None,
        profile: bool = False,
        spin_us: int = 0,
    ) -> None: ...
    def run(
        self, inputs: list[tuple[Any, ...]], outputs: list[tuple[Any, ...]], /
    ) -> list[Any]: ...
    def info(self) -> dict[str, Any]: ...
    def steps(self) -> list[dict[str, Any]]: ...
