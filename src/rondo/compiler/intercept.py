"""What of a step is seen above autograd: the calls of torch's functions.

Two modes that act in their own thread alone, on whatever torch function the step calls:

- :class:`StandIns` hands other tensors to these functions in place of some. No module and no tensor
  is touched, so no other thread, no hook and no gradient of the user's ever meets a stand-in.
- :class:`Watch`, while a step is recorded, gives each tensor from outside that needs a gradient a
  stand-in of its own, notes what only autograd would know (`detach`, hooks), counts questions
  about the number of rows, and fails where a value is read into Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rondo.compiler.counting import Questions, RowCount
from rondo.compiler.lines import is_users, line_of_user
from rondo.compiler.record import Recorder, TraceError, value_read


class StandIns(TorchFunctionMode):
    """Hands stand-ins to torch's functions.

    Args:
        instead: What stands for a tensor, by the identity of the tensor.
    """

    def __init__(self, instead: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.instead = dict(instead)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch's on the stand-ins."""
        return func(
            *_replaced(args, self._in_place_of), **_replaced(kwargs or {}, self._in_place_of)
        )

    def _in_place_of(self, tensor: Tensor) -> Tensor:
        return self.instead.get(id(tensor), tensor)


READS: dict[Any, str] = {
    torch.Tensor.numpy: ".numpy()",
    torch.Tensor.tolist: ".tolist()",
    torch.Tensor.__array__: "a numpy array of it",
    torch.Tensor.data_ptr: ".data_ptr()",
    torch.Tensor.__repr__: "printed or turned into text",
    torch.Tensor.__format__: "printed or turned into text",
    torch.Tensor.__dlpack__: "by DLPack",
    torch.Tensor.storage: ".storage()",
    torch.Tensor.untyped_storage: ".untyped_storage()",
    torch.Tensor.__deepcopy__: "by copy.deepcopy",
    torch.Tensor.__reduce_ex__: "by pickle",
}
"""Functions that read values without an operation of torch's."""

_ATTRIBUTES: Any = torch.Tensor  # its attributes are descriptors
SIZES = {_ATTRIBUTES.shape.__get__, torch.Tensor.size}
COUNTS = {torch.Tensor.__len__, torch.Tensor.numel, torch.numel, torch.Tensor.nelement}
SQUEEZES = {torch.squeeze, torch.Tensor.squeeze, torch.Tensor.squeeze_}
DETACHES = {torch.Tensor.detach, torch.Tensor.detach_, torch.detach, _ATTRIBUTES.data.__get__}
HOOKS = {torch.Tensor.register_hook, torch.Tensor.register_post_accumulate_grad_hook}
ASKS_FOR_GRADIENT = {
    getattr(_ATTRIBUTES, name).__get__ for name in ("requires_grad", "grad_fn", "is_leaf")
}
CHANGES = {_ATTRIBUTES.data.__set__, _ATTRIBUTES.grad.__set__, torch.Tensor.requires_grad_}


class Watch(StandIns):
    """Watches a step that is being recorded.

    Args:
        recorder: Writes down what the functions do.
        instead: Stand-ins that are known before.
        num_rows: The number of rows that it is recorded with.
        states: The names of the states that the step gets.
    """

    def __init__(
        self,
        recorder: Recorder,
        instead: Mapping[int, Tensor],
        num_rows: int,
        states: Collection[str] = (),
    ) -> None:
        super().__init__(instead)
        self.recorder = recorder
        self.num_rows = num_rows
        self.states = frozenset(states)
        self.questions = Questions()
        self.is_forward = True
        self.own_gradient: str | None = None  # what the step says about gradients
        self.met: list[tuple[Tensor, Tensor]] = []  # tensors from outside, and their stand-ins

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch's on the stand-ins."""
        if func in READS:
            self.recorder.fail(value_read(READS[func], line_of_user()))
        given = args
        args, kwargs = (
            _replaced(args, self._in_place_of),
            _replaced(kwargs or {}, self._in_place_of),
        )
        if func in HOOKS or func in CHANGES:
            self._check_own(func, given, args)
        if func in ASKS_FOR_GRADIENT and is_users(sys._getframe(1).f_code):
            self._check_gradient(args[0])
        if self.own_gradient is None and self.is_forward:
            self.own_gradient = _said_of_gradients(func, args)
        if func in SQUEEZES:
            self.questions.any_number = True  # one row alone would be squeezed too
        result = func(*args, **kwargs)
        if func in SIZES:
            return self._counted_sizes(result)
        return self._counted(result) if func in COUNTS else result

    def _in_place_of(self, tensor: Tensor) -> Tensor:
        found = self.instead.get(id(tensor))
        if found is not None:
            return found
        if not torch.is_grad_enabled() or not tensor.requires_grad or self.recorder.knows(tensor):
            return tensor
        stand_in = tensor.detach().requires_grad_()
        self.instead[id(tensor)] = stand_in
        self.met.append((tensor, stand_in))
        return stand_in

    def _check_own(self, func: Any, given: Sequence[Any], used: Sequence[Any]) -> None:
        """Fail where a step puts a hook on, or changes the ways of, what it did not make."""
        name = getattr(func, "__name__", str(func))
        if given[0] is not used[0] or not self.recorder.knows(used[0]):
            self.recorder.fail(
                TraceError(
                    f"calls {name} on a tensor that it did not make",
                    "do that once, outside of the step",
                    line_of_user(),
                )
            )

    def _check_gradient(self, tensor: Tensor) -> None:
        """Fail where a step asks whether something has a gradient that has it for a state alone.

        In the first step the state has none, in later ones it has.
        """
        if self.is_forward and self.recorder.needs_gradient_for(self.states, tensor):
            self.recorder.fail(
                TraceError(
                    "asks whether its state has a gradient, which may differ from step to step",
                    "torch.is_grad_enabled() does not",
                    line_of_user(),
                )
            )

    def _counted_sizes(self, sizes: Any) -> Any:
        if isinstance(sizes, int):
            return self._counted(sizes)
        return torch.Size([self._counted(size) for size in sizes])

    def _counted(self, size: int) -> int:
        """A size, as a number that follows the rows where it does."""
        factor, rest = divmod(size, self.num_rows)
        if rest or not factor:
            return size
        self.questions.any_number = True
        return RowCount(size, lambda rows: factor * rows, self.questions)


def _said_of_gradients(func: Any, args: Sequence[Any]) -> str | None:
    """What a call says about gradients that its operations do not; None: nothing."""
    moving = any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
    if not moving:
        return None
    if not torch.is_grad_enabled() and func not in SIZES:
        return "computes under torch.no_grad"
    return f"calls {func.__name__}" if func in DETACHES or func in HOOKS else None


def _replaced(argument: Any, instead: Callable[[Tensor], Tensor]) -> Any:
    """An argument with other tensors in it."""
    if isinstance(argument, Tensor):
        return instead(argument)
    if type(argument) in (tuple, list):
        return type(argument)([_replaced(item, instead) for item in argument])
    if type(argument) is dict:
        return {key: _replaced(item, instead) for key, item in argument.items()}
    return argument
