#!/usr/bin/env python3
"""Computes with numpy, in float64, what the workload `llm` computes, and writes what its test compares with.

Nothing here shares code or method with the workload: weights are unpacked whole, nothing is rounded, attention is a matrix product over
all positions, the tokenizer is the Python package `tokenizers`, given the file's vocabulary and merges, and the template is rendered by
Jinja itself.

    python3 -m pip install numpy gguf jinja2 tokenizers
    python3 reference.py MODEL.gguf > expected.json
"""

import json
import sys

import numpy as np
from gguf import GGUFReader, dequantize
from jinja2 import Environment
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

PROMPTS = [
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain in one sentence why the sky is blue.",
    "List three fruits that are red.",
    "Translate 'good morning' into Spanish.",
    "What is 12 plus 30?",
    "Who wrote the play Hamlet?",
    "Give me a recipe for pancakes.",
    "Name the planets of the solar system.",
    "Why do cats purr?",
    "Write a Python function that adds two numbers.",
    "What should I pack for a trip to Norway in winter?",
    "Tell me a short story about a robot.",
    "How does a bicycle stay upright?",
    "What is the difference between a lake and a pond?",
    "Summarize the water cycle.",
    "What colour is grass?",
    "How many legs does a spider have?",
    "What is the opposite of hot?",
    "Write one sentence about autumn.",
    "What does a librarian do?",
    "Which ocean is the largest?",
]

# Text to go on from, without the template.
PLAIN = "The capital of France is"

# Texts that try the tokenizer.
TEXTS = [
    "Hello, world!  It's 2024.\n\n\tTabs and   spaces \n",
    "def f(x):\n    return x**2  # naïve café\r\n",
    "日本語のテキスト、한국어, العربية, हिन्दी",
    "e\u0301 \u00a0 \u2003 \ufeff ½ ² Ⅷ १२३ 🙂👩‍👩‍👧 �",
    "<|im_start|>user\nhi<|im_end|>",
    "don't can't I'll we've 'tis DON'T",
    " leading and trailing ",
    "a" * 70 + " " * 9 + "!" * 11,
]


class Model:
    """A model of the architecture `llama`."""

    def __init__(self, reader):
        value = lambda key: reader.fields[key].contents()
        self.layers = value("llama.block_count")
        self.heads = value("llama.attention.head_count")
        self.key_heads = value("llama.attention.head_count_kv")
        self.width = value("llama.embedding_length")
        self.base = value("llama.rope.freq_base")
        self.epsilon = value("llama.attention.layer_norm_rms_epsilon")
        self.weights = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float64) for tensor in reader.tensors
        }
        self.dimension = self.width // self.heads

    def product(self, x, name):
        return x @ self.weights[name].T

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.epsilon) * self.weights[name]

    def turn(self, x, start):
        """Rotary positions, on pairs of neighbours. x: tokens, heads, elements."""
        angles = (start + np.arange(len(x)))[:, None] * self.base ** (-np.arange(0, self.dimension, 2) / self.dimension)
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[:, None, :]
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)

    def run(self, tokens, cache):
        """The logits after these tokens, whose keys and values are added to the cache."""
        hidden = self.weights["token_embd.weight"][tokens]
        start = cache[0][0].shape[0]
        group = self.heads // self.key_heads
        for layer in range(self.layers):
            name = lambda what: f"blk.{layer}.{what}.weight"
            x = self.norm(hidden, name("attn_norm"))
            split = lambda y: y.reshape(len(tokens), -1, self.dimension)
            q = self.turn(split(self.product(x, name("attn_q"))), start)
            k = self.turn(split(self.product(x, name("attn_k"))), start)
            v = split(self.product(x, name("attn_v")))
            k, v = np.concatenate([cache[layer][0], k]), np.concatenate([cache[layer][1], v])
            cache[layer] = (k, v)
            scores = np.einsum("thd,shd->hts", q, np.repeat(k, group, axis=1)) / np.sqrt(self.dimension)
            later = np.arange(len(k))[None, :] > start + np.arange(len(tokens))[:, None]
            scores = np.where(later[None], -np.inf, scores)
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            scores /= scores.sum(axis=-1, keepdims=True)
            attended = np.einsum("hts,shd->thd", scores, np.repeat(v, group, axis=1)).reshape(len(tokens), -1)
            hidden = hidden + self.product(attended, name("attn_output"))
            x = self.norm(hidden, name("ffn_norm"))
            gate = self.product(x, name("ffn_gate"))
            inner = gate / (1 + np.exp(-gate)) * self.product(x, name("ffn_up"))
            hidden = hidden + self.product(inner, name("ffn_down"))
        last = self.norm(hidden[-1:], "output_norm.weight")
        head = "output.weight" if "output.weight" in self.weights else "token_embd.weight"
        return self.product(last, head)[0]

    def empty(self):
        none = np.zeros((0, self.key_heads, self.dimension))
        return [(none, none)] * self.layers


def tokenizer(reader):
    value = lambda key: reader.fields[key].contents()
    tokens, kinds = value("tokenizer.ggml.tokens"), value("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in value("tokenizer.ggml.merges")]
    result = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    result.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    result.decoder = decoders.ByteLevel()
    result.add_special_tokens([token for token, kind in zip(tokens, kinds) if kind in (3, 4)])
    return result


def generate(model, tokens, count, end):
    """Greedy: what is made, and for each step the two largest logits and the distance between them."""
    cache, made, gaps, first = model.empty(), [], [], None
    while len(made) < count:
        logits = model.run(tokens, cache)
        first = logits if first is None else first
        order = np.argsort(-logits)
        gaps.append(float(logits[order[0]] - logits[order[1]]))
        if order[0] == end:
            break
        made.append(int(order[0]))
        tokens = [made[-1]]
    return made, gaps, first


def main(path):
    reader = GGUFReader(path)
    value = lambda key: reader.fields[key].contents()
    words = tokenizer(reader)
    template = Environment(trim_blocks=True, lstrip_blocks=True).from_string(value("tokenizer.chat_template"))
    model = Model(reader)
    answers = []
    for prompt, count in [(PLAIN, 6)] + [(prompt, 64) for prompt in PROMPTS]:
        text = prompt
        if prompt != PLAIN:
            text = template.render(messages=[{"role": "user", "content": prompt}], add_generation_prompt=True)
        tokens = words.encode(text).ids
        made, gaps, logits = generate(model, tokens, count, value("tokenizer.ggml.eos_token_id"))
        top = np.argsort(-logits)[:16]
        answer = {
            "prompt": prompt,
            "tokens": tokens,
            "text": words.decode(made, skip_special_tokens=True),
            "least_gap": round(min(gaps), 6),
            "top": [[int(token), round(float(logits[token]), 5)] for token in top],
            "mean": round(float(logits.mean()), 6),
        }
        print(prompt, min(gaps), file=sys.stderr)
        answers.append(answer)
    tokens = [[text, words.encode(text).ids] for text in TEXTS]
    # One prompt or text a line.
    line = lambda item: json.dumps(item, ensure_ascii=False)
    print('{\n"answers": [\n' + ",\n".join(map(line, answers)) + '\n],\n"tokens": [\n' + ",\n".join(map(line, tokens)) + "\n]\n}")


if __name__ == "__main__":
    main(sys.argv[1])
