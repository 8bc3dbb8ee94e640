"""Writes what real loads and saves do to the names of a base when a task class takes it up.

usage: tasks.py OUT.json.gz

Each tensor of a tiny saved base is filled with its own number; the task class is made with
from_pretrained and saved again. "names" maps each base tensor to its name in the second
checkpoint, or null when it is not there; "new" are the tensors that the base has not.
"""

import gzip
import json
import os
import sys
import tempfile

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

import tables  # noqa: F401  quiets transformers

T = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=40, max_position_embeddings=32, pad_token_id=0)
BERT = ["BertModel", "BertForPreTraining", "BertForMaskedLM", "BertForSequenceClassification"]
CASES = [
    ("bert", T, BERT, ["BertForSequenceClassification", "BertForTokenClassification", "BertForQuestionAnswering", "BertModel"]),
    ("roberta", T, ["RobertaModel", "RobertaForMaskedLM"], ["RobertaForSequenceClassification", "RobertaForTokenClassification", "RobertaModel"]),
    ("distilbert", dict(dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=40), ["DistilBertModel", "DistilBertForMaskedLM"], ["DistilBertForSequenceClassification", "DistilBertForTokenClassification"]),
    ("deberta-v2", T, ["DebertaV2Model", "DebertaV2ForMaskedLM"], ["DebertaV2ForSequenceClassification", "DebertaV2ForTokenClassification"]),
    ("electra", dict(T, embedding_size=16), ["ElectraModel", "ElectraForPreTraining"], ["ElectraForSequenceClassification"]),
    ("albert", dict(T, embedding_size=16), ["AlbertModel", "AlbertForMaskedLM"], ["AlbertForSequenceClassification"]),
    ("modernbert", dict(T, global_attn_every_n_layers=2), ["ModernBertModel", "ModernBertForMaskedLM"], ["ModernBertForSequenceClassification", "ModernBertForTokenClassification"]),
    ("llama", dict(T, num_key_value_heads=2), ["LlamaModel", "LlamaForCausalLM"], ["LlamaForSequenceClassification", "LlamaForTokenClassification", "LlamaForQuestionAnswering", "LlamaModel", "LlamaForCausalLM"]),
    ("qwen2", dict(T, num_key_value_heads=2), ["Qwen2ForCausalLM"], ["Qwen2ForSequenceClassification"]),
    ("gpt2", dict(n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=32, pad_token_id=0), ["GPT2Model", "GPT2LMHeadModel"], ["GPT2ForSequenceClassification", "GPT2ForTokenClassification", "GPT2LMHeadModel"]),
    ("gpt_neox", T, ["GPTNeoXModel", "GPTNeoXForCausalLM"], ["GPTNeoXForSequenceClassification", "GPTNeoXForCausalLM"]),
    ("opt", dict(hidden_size=16, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=40, max_position_embeddings=32, pad_token_id=0), ["OPTModel", "OPTForCausalLM"], ["OPTForSequenceClassification"]),
    ("bloom", dict(hidden_size=16, n_layer=2, n_head=2, vocab_size=40), ["BloomModel", "BloomForCausalLM"], ["BloomForSequenceClassification"]),
    ("t5", dict(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=40), ["T5Model", "T5ForConditionalGeneration", "T5EncoderModel"], ["T5ForSequenceClassification", "T5ForTokenClassification", "T5ForQuestionAnswering", "T5ForConditionalGeneration"]),
    ("bart", dict(d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=40, max_position_embeddings=32), ["BartModel", "BartForConditionalGeneration"], ["BartForSequenceClassification"]),
    ("vit", dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=4), ["ViTModel", "ViTForMaskedImageModeling"], ["ViTForImageClassification", "ViTModel"]),
    ("dinov2", dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4), ["Dinov2Model"], ["Dinov2ForImageClassification"]),
    ("wav2vec2", dict(T, conv_dim=[16, 16], conv_stride=[2, 2], conv_kernel=[3, 3], num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2), ["Wav2Vec2Model"], ["Wav2Vec2ForCTC", "Wav2Vec2ForSequenceClassification"]),
]


def read(path):
    with safe_open(os.path.join(path, "model.safetensors"), "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}


def main(out):
    rows = []
    for kind, sizes, bases, tasks in CASES:
        for base in bases:
            config = transformers.AutoConfig.for_model(kind, **sizes)
            with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
                getattr(transformers, base)(config).save_pretrained(a)
                disk = read(a)
                numbered = {k: torch.full(v.shape, 1000.0 + i) for i, (k, v) in enumerate(disk.items())}
                save_file(numbered, os.path.join(a, "model.safetensors"), {"format": "pt"})
                names = list(disk)
                with open(os.path.join(a, "config.json")) as f:
                    tie = json.load(f).get("tie_word_embeddings")
                for task in tasks:
                    getattr(transformers, task).from_pretrained(a).save_pretrained(b)
                    kept, new = {n: None for n in names}, []
                    for k, v in read(b).items():
                        x = v.flatten()[0].item()
                        i = int(x) - 1000
                        if x == int(x) and 0 <= i < len(names) and bool((v == x).all()):
                            kept[names[i]] = k
                        else:
                            new.append(k)
                    rows.append({"type": kind, "arch": base, "class": task, "tie": tie, "names": kept, "new": sorted(new)})
    text = json.dumps({"source": "transformers " + transformers.__version__, "cases": rows}, separators=(",", ":"))
    with gzip.GzipFile(out, "wb", 9, mtime=0) as z:
        z.write(text.encode())
    print(f"{len(rows)} cases", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
