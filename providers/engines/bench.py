"""The bare engine, the ceiling that a server is measured against: `python -m providers.engines.bench MODEL`.

Loads the model as an engine process does, except that its decode step is mlx-lm's, and drives mlx-lm's BatchGenerator
with nothing around it: every prompt inserted together, greedy, no prefix cache, no stop strings, no text. Reads one
JSON object per line from stdin and answers each with one on stdout:

    {"do": "generate", "chats": [[{"role": …, "content": …}], …], "max_tokens": 64}
        one answer a chat: its prompt's tokens, and when each of its own came, in seconds since the question
    {"do": "save", "folder": …}     the weights as loaded (widened on the Linux CPU), as a model folder
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.engines.process import platform
from providers.spec import ModelSpec

if TYPE_CHECKING:
    from providers.engines.language.loading import LoadedModel

PREFILL_STEP = 2048


def main() -> None:
    platform.prepare()
    from providers.engines.language.loading import load_language_model
    from providers.engines.process.weights import find_folder, mlx_device

    folder = find_folder(sys.argv[1], lambda stage, fraction: None)
    spec = ModelSpec(name="bench", path=str(folder), decode_step="mlx-lm")
    loaded = load_language_model(spec, mlx_device(), lambda stage, fraction: None)
    for line in sys.stdin:
        question = json.loads(line)
        if question["do"] == "generate":
            answer = _generate(loaded, question["chats"], question["max_tokens"])
        else:
            answer = _save(loaded, folder, Path(question["folder"]))
        print(json.dumps(answer), flush=True)


def _generate(loaded: LoadedModel, chats: list[list[dict[str, str]]], max_tokens: int) -> dict[str, Any]:
    from mlx_lm.generate import BatchGenerator

    started = time.perf_counter()
    template = loaded.tokenizer.apply_chat_template
    prompts = [list(template(chat, add_generation_prompt=True)) for chat in chats]
    generator: Any = BatchGenerator(
        loaded.model,
        stop_tokens=[[token] for token in loaded.tokenizer.eos_token_ids],
        completion_batch_size=len(prompts),
        prefill_batch_size=len(prompts),
        prefill_step_size=PREFILL_STEP,
    )
    answers: dict[int, dict[str, Any]] = {
        uid: {"prompt_tokens": len(prompt), "seconds": []}
        for uid, prompt in zip(generator.insert(prompts, max_tokens=[max_tokens] * len(prompts)), prompts, strict=True)
    }
    left = set(answers)
    while left:
        _, responses = generator.next()
        now = time.perf_counter() - started
        for response in responses:
            answers[response.uid]["seconds"].append(now)
        left -= {response.uid for response in responses if response.finish_reason}
    generator.close()
    return {"answers": list(answers.values())}


def _save(loaded: LoadedModel, source: Path, folder: Path) -> dict[str, Any]:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.suffix in {".json", ".jinja", ".model", ".txt"}:
            shutil.copy(file, folder)
    config = {key: value for key, value in loaded.config.items() if not key.startswith("quantization")}
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(loaded.model.parameters())))
    return {"folder": str(folder)}


if __name__ == "__main__":
    main()
