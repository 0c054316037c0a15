"""Writes blocks.safetensors: random GGUF blocks and the numbers that the `gguf` package reads."""

import pathlib

import gguf
import numpy
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
random = numpy.random.default_rng(1)
tensors = {}
for number in (2, 3, 6, 7, 8, 10, 11, 12, 13, 14):
    kind = gguf.GGMLQuantizationType(number)
    block, width = gguf.GGML_QUANT_SIZES[kind]
    stored = random.integers(0, 256, (4, width), dtype=numpy.uint8)
    # Scales are half-precision numbers among the bytes; random ones could be infinite.
    places = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "Q4_0": (0,), "Q5_0": (0,), "Q8_0": (0,)}
    for place in places.get(kind.name, (0, 2)):
        scale = random.normal(0, 0.01, 4).astype(numpy.float16)
        stored[:, place : place + 2] = scale.view(numpy.uint8).reshape(4, 2)
    values = gguf.quants.dequantize(stored, kind)
    assert values.shape == (4, block) and numpy.isfinite(values).all()
    tensors[f"{number}.stored"] = stored
    tensors[f"{number}.values"] = values.astype(numpy.float32)
save_file(tensors, HERE / "blocks.safetensors")
