"""torch.nn's layers in ONNX Runtime: a graph of one node, with the weights of a cell.

In go the name of a layer and its weights, out comes a contender that runs forward; the package has
no training for it. A call gives NumPy's view of x and gets NumPy's array, as programs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rondo.bench.contenders import Contender, Results

GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""The gates in the order of ONNX (i, o, f, g; z, r, n), as places in the order of torch.nn."""

OPSET, IR_VERSION = 14, 8


def of_layer(name: str, layer: str, parameters: Mapping[str, Tensor], x: Tensor) -> Contender:
    """A contender that runs a layer in ONNX Runtime.

    Args:
        name: Its name.
        layer: "GRU", "RNN" or "LSTM".
        parameters: Those of the cell.
        x: The batch (T, B, I).

    Raises:
        ImportError: Where `onnxruntime` or `onnx` is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    model, given = _model(layer, parameters, x), {"x": x.numpy()}
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model, options, providers=providers)

    def forward() -> Any:
        return session.run(["y"], given)[0]

    def results() -> Results:
        return {"output": torch.from_numpy(forward())[:, 0]}

    return Contender(name, forward, None, results)


def _model(layer: str, parameters: Mapping[str, Tensor], x: Tensor) -> bytes:
    """The graph, as ONNX writes it."""
    from onnx import TensorProto, helper, numpy_helper

    (num_steps, batch_size, input_size), size = x.shape, parameters["weight_hh"].shape[1]
    weights = {
        key: numpy_helper.from_array(_in_order(layer, parameters, *names).numpy(), key)
        for key, names in {
            "W": ("weight_ih",), "R": ("weight_hh",), "B": ("bias_ih", "bias_hh"),
        }.items()
    }  # fmt: skip
    more = {"linear_before_reset": 1} if layer == "GRU" else {}
    node = helper.make_node(layer, ["x", *weights], ["y"], hidden_size=size, **more)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in {
            "x": (num_steps, batch_size, input_size), "y": (num_steps, 1, batch_size, size),
        }.items()
    ]  # fmt: skip
    graph = helper.make_graph([node], layer, values[:1], values[1:], list(weights.values()))
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    written: bytes = model.SerializeToString()
    return written


def _in_order(layer: str, parameters: Mapping[str, Tensor], *names: str) -> Tensor:
    """Some weights with their gates in the order of ONNX, one after the other, of one direction."""
    places = GATES[layer]
    values = [parameters[name].detach().chunk(len(places)) for name in names]
    return torch.cat([value[place] for value in values for place in places])[None].contiguous()
