"""A GPU for machines without one: tensors that say they are on it, and compute on the CPU.

What a GPU refuses is refused: tensors of two devices in one operation, a generator of another
device, `.numpy()`. What makes the host wait is written down. Speed, rounding and bfloat16 are not
those of a GPU.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._dynamo  # what runs below needs it, and it must not be imported under the patches
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

GPU = torch.device("cuda", 0)
_ON_GPU = ("cuda", "meta")  # as torch's own code sees it
_Generator = torch.Generator

# The size of what they return depends on values, or they return it to the host.
_WAITING = {
    "aten::_local_scalar_dense",
    "aten::_unique2",
    "aten::bincount",
    "aten::equal",
    "aten::masked_select",
    "aten::nonzero",
    "aten::repeat_interleave",
    "aten::unique_consecutive",
    "aten::unique_dim",
}
_INDEXING = {"aten::index", "aten::index_put_"}  # by an index on the host as well
_COPYING = {"aten::_to_copy", "aten::copy_"}
_PINNING = {"aten::_pin_memory", "aten::pin_memory"}


class OnGpu(Tensor):
    """A tensor on the made-up GPU.

    Attributes:
        held: its numbers, on the CPU.
    """

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        made: OnGpu = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device="meta",  # without a driver, autograd takes no tensor of CUDA
        )
        made.held = held
        return made

    device = property(lambda _: GPU)
    is_cuda = property(lambda _: True)
    is_meta = property(lambda _: False)

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} in a thread, or at a time, without the made-up GPU")

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __array__(self, *_: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_moved(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_moved(index), value)


def _moved(index: Any) -> Any:
    """Return an index with its lists on the GPU, where torch puts them."""
    if isinstance(index, list):
        return torch.tensor(index, dtype=None if index else torch.int64, device=GPU)
    return tuple(map(_moved, index)) if isinstance(index, tuple) else index


class MadeUpGpu(TorchDispatchMode):
    """Runs what is asked of the made-up GPU.

    Attributes:
        waits: the operations for which a host would have waited, in order.
        generator: the GPU's global generator.
        generators: those that were made for it, and the global one.
        graph: what is being recorded.
        graphs: those that there are.
        replays: how often one was played.
        aside: whether another stream than the default one is in use.
        stuck: whether a recording that failed has left the global generator in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.generator = _Generator()
        self.generators = [self.generator]
        self.graph: Graph | None = None
        self.graphs: weakref.WeakSet[Graph] = weakref.WeakSet()
        self.replays = 0
        self.aside = self.stuck = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func._schema.name, dict(kwargs or {})
        if name in _PINNING:
            pinned = args[0].clone()
            pinned.pinned = True
            return pinned
        if torch.is_inference_mode_enabled() and name not in _WAITING:
            with self:  # it comes here in one piece there, elsewhere in parts
                if (result := func.decompose(*args, **kwargs)) is not NotImplemented:
                    return result
        kwargs.pop("pin_memory", None)
        tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        assert all(isinstance(t, OnGpu) or t.device.type == "cpu" for t in tensors), name
        inside = any(isinstance(each, OnGpu) for each in tensors)
        to_gpu = inside
        if kwargs.get("device") is not None:
            to_gpu = torch.device(kwargs["device"]).type in _ON_GPU
            kwargs["device"] = torch.device("cpu")
        if name == "aten::copy_":
            to_gpu = isinstance(args[0], OnGpu)
        if inside or to_gpu:
            before = len(self.waits)
            self._check(name, args, kwargs, tensors, to_gpu)
            if self.graph is not None and len(self.waits) > before:
                self.stuck = True
                raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        return self._run(func, args, kwargs, to_gpu)

    def _run(self, func: Any, args: Any, kwargs: Any, to_gpu: bool) -> Any:
        flat, spec = tree_flatten((args, kwargs))
        held = {id(each.held): each for each in flat if isinstance(each, OnGpu)}
        bare = [each.held if isinstance(each, OnGpu) else each for each in flat]
        given = [each for each in flat if isinstance(each, _Generator)]
        for each in given:
            if to_gpu != any(each._cdata == mine._cdata for mine in self.generators):
                raise RuntimeError("Expected a generator of the device of the operation")
        args, kwargs = tree_unflatten(bare, spec)
        own = bool(given) or not to_gpu
        if self.graph is not None and to_gpu:
            self.graph.keep(func, args, kwargs, given)
        result = self.computed(func, args, kwargs, own)
        if self.graph is not None and to_gpu:
            self.graph.operations.append((func, args, kwargs, own, result))

        def wrapped(value: Any) -> Any:
            if not to_gpu or not isinstance(value, Tensor):
                return value
            if id(value) not in held:
                return OnGpu(value)
            same = held[id(value)]
            if same.shape != value.shape:  # changed in place, as by `squeeze_`
                with no_dispatch():
                    same.as_strided_(value.shape, value.stride(), value.storage_offset())
            return same

        return tree_map(wrapped, result)

    def computed(self, func: Any, args: Any, kwargs: Any, own: bool) -> Any:
        """Run an operation on the CPU; chance is its `own`, or else the GPU's global one."""
        if own or torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        with self._global_chance():
            return func(*args, **kwargs)

    @contextmanager
    def _global_chance(self) -> Iterator[None]:
        """Have the CPU's global generator be the GPU's for a while."""
        if self.stuck and self.graph is None:
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
        before = torch.default_generator.get_state()
        torch.default_generator.set_state(self.generator.get_state())
        try:
            yield
        finally:
            self.generator.set_state(torch.default_generator.get_state())
            torch.default_generator.set_state(before)

    def _check(
        self, name: str, args: Any, kwargs: Any, tensors: list[Tensor], to_gpu: bool
    ) -> None:
        """Refuse what a GPU refuses, and note what the host would wait for."""
        if name in _COPYING:
            source = args[0] if name == "aten::_to_copy" else args[1]
            quick = kwargs.get("non_blocking", name == "aten::copy_" and any(args[2:]))
            if isinstance(source, OnGpu) and not to_gpu:
                self.waits.append("copied to the host")
            if not isinstance(source, OnGpu) and not (quick and hasattr(source, "pinned")):
                self.waits.append("copied from memory that is not pinned")
        elif name in _INDEXING:
            for index in filter(lambda index: index is not None, args[1]):
                if not to_gpu or not isinstance(args[0], OnGpu):
                    raise RuntimeError("indices should be on the CPU, as the tensor is")
                mask = index.dtype in (torch.bool, torch.uint8)
                if mask and (name == "aten::index" or args[2].ndim > 0):
                    self.waits.append(f"{name} by a mask")
                if not isinstance(index, OnGpu):
                    self.waits.append(f"{name} by an index on the host")
        elif any(each.ndim > 0 and not isinstance(each, OnGpu) for each in tensors):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:0 and cpu! ({name})"
            )
        elif name in _WAITING:
            self.waits.append(name)


class Graph:
    """A CUDA graph: what is recorded is undone, and played again on the same tensors."""

    def __init__(self, gpu: MadeUpGpu) -> None:
        self._gpu = gpu
        gpu.graphs.add(self)
        self._generators = [gpu.generator]
        self._before: list[tuple[Any, Any]] = []
        self.operations: list[tuple[Any, Any, Any, bool, Any]] = []

    def register_generator_state(self, generator: torch.Generator) -> None:
        self._generators.append(generator)

    def capture_begin(self, **_: Any) -> None:
        if not self._gpu.aside:
            raise RuntimeError("CUDA graphs must be captured on a non-default stream")
        self._before = [(each, each.get_state()) for each in self._generators]
        self._gpu.graph = self

    def keep(self, func: Any, args: Any, kwargs: Any, given: list[torch.Generator]) -> None:
        """Keep what an operation is about to change."""
        known = {each._cdata for each in self._generators}
        if any(each._cdata not in known for each in given):
            raise RuntimeError("a generator that draws in a recording must be registered")
        silent = "batch_norm" in func._schema.name  # changes its statistics, and does not say so
        for at, argument in enumerate(func._schema.arguments):
            if silent or (argument.alias_info is not None and argument.alias_info.is_write):
                value = args[at] if at < len(args) else kwargs.get(argument.name)
                changed = [each for each in tree_flatten(value)[0] if isinstance(each, Tensor)]
                self._before += [(each, each.clone()) for each in changed]

    def capture_end(self) -> None:
        self._gpu.graph = None
        for changed, before in reversed(self._before):
            if isinstance(changed, Tensor):
                changed.copy_(before)
            else:
                changed.set_state(before)

    def replay(self) -> None:
        self._gpu.replays += 1
        with torch.no_grad(), no_dispatch():
            for func, args, kwargs, own, before in self.operations:
                now = self._gpu.computed(func, args, kwargs, own)
                for old, new in zip(tree_flatten(before)[0], tree_flatten(now)[0], strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class _Stream:
    """A stream in which everything is over at once; as an event as well."""

    def __init__(self, *_: Any) -> None: ...

    def record_event(self) -> _Stream:
        return self

    def wait_event(self, _: _Stream) -> None: ...

    def wait_stream(self, _: _Stream) -> None: ...


@contextmanager
def made_up_gpu(patch: pytest.MonkeyPatch) -> Iterator[MadeUpGpu]:
    """Have one GPU, made up, while the body runs."""
    gpu, run = MadeUpGpu(), threading.Thread.run

    def generator(device: Any = "cpu") -> torch.Generator:
        made = _Generator()
        if torch.device(device).type == "cuda":
            gpu.generators.append(made)
        return made

    def run_with_it(thread: threading.Thread) -> None:
        with gpu:
            run(thread)

    @contextmanager
    def entered(_: Any) -> Iterator[None]:
        yield

    @contextmanager
    def aside(_: _Stream) -> Iterator[None]:
        before, gpu.aside = gpu.aside, True
        try:
            yield
        finally:
            gpu.aside = before

    def set_afresh(state: torch.Generator) -> None:
        gpu.stuck = False
        gpu.generator.set_state(state.get_state())

    def check_capturable(optimizer: torch.optim.Optimizer) -> None:
        if gpu.graph is not None and not all(each["capturable"] for each in optimizer.param_groups):
            raise RuntimeError("graph capture of step(), but param_groups' capturable is False")

    default = SimpleNamespace(clone_state=gpu.generator.clone_state, graphsafe_set_state=set_afresh)
    for name, value in {
        "default_generators": [default],
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "device": entered,
        "synchronize": lambda *_: None,
        "mem_get_info": lambda *_: (1 << 34, 1 << 34),
        "get_device_properties": lambda *_: SimpleNamespace(total_memory=1 << 34),
        "get_device_name": lambda *_: "made up",
        "manual_seed": lambda seed: gpu.generator.manual_seed(seed),
        "get_rng_state": lambda *_: gpu.generator.get_state(),
        "get_rng_state_all": lambda: [gpu.generator.get_state()],
        "set_rng_state": lambda state, *_: gpu.generator.set_state(state),
        "CUDAGraph": lambda: Graph(gpu),
        "Stream": _Stream,
        "stream": aside,
        "current_stream": _Stream,
    }.items():
        patch.setattr(torch.cuda, name, value)
    for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
        patch.setattr(torch.optim.Optimizer, name, check_capturable, raising=False)
    patch.setattr(torch, "Generator", generator)
    patch.setattr(threading.Thread, "run", run_with_it)
    patch.setattr(OnGpu, "record_stream", lambda *_: None, raising=False)
    torch._C._set_only_lift_cpu_tensors(True)  # or torch.tensor(..., device=...) would pass by
    try:
        with gpu:
            yield gpu
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
