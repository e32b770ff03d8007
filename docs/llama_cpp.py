"""llama.cpp's server with the embedded model's weights, for the comparison in performance.md.

It needs its own environment: `pip install xllamacpp==2026.10.11549 gguf`.

    python llama_cpp.py convert SOURCE.gguf TARGET.gguf F32|Q8_0   the same numbers in float32, or rounded to 8 bits
    python llama_cpp.py serve MODEL.gguf PORT STREAMS [THREADS]    serve until a signal ends the process
"""

from __future__ import annotations

import signal
import sys


def convert(source: str, target: str, kind: str) -> None:
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
    from gguf.quants import dequantize, quantize

    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in {"general.architecture", "general.file_type"}:
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    writer.add_file_type({"F32": LlamaFileType.ALL_F32, "Q8_0": LlamaFileType.MOSTLY_Q8_0}[kind])
    for tensor in reader.tensors:
        wide = dequantize(tensor.data, tensor.tensor_type).astype("float32")
        if kind == "F32" or wide.ndim == 1:
            writer.add_tensor(tensor.name, wide)
        else:
            narrow = GGMLQuantizationType[kind]
            writer.add_tensor(tensor.name, quantize(wide, narrow), raw_dtype=narrow)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def serve(model: str, port: str, streams: str, threads: str | None = None) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.port, parameters.n_parallel, parameters.n_ctx = int(port), int(streams), 2048 * int(streams)
    if threads is not None:
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(threads)
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    {"convert": convert, "serve": serve}[sys.argv[1]](*sys.argv[2:])
