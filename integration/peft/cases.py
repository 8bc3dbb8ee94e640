"""The table of golden cases: which base, which adapter, what a right merge is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import breaks
import kinds
import sweep
from case import DTYPES, Case, lora

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
PROJECTIONS = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]


def _llama_options() -> list[Case]:
    return [
        Case("llama-plain", "llama", lora(PROJECTIONS, r=8, alpha=16), card=True),
        Case("llama-all-linear", "llama", lora("all-linear", r=3, alpha=5)),
        Case("llama-target-regex", "llama", lora(r"model\.layers\.1\..*(q_proj|down_proj)", r=2)),
        Case("llama-rank1", "llama", lora(["v_proj"], r=1, alpha=1)),
        Case("llama-rank-above-width", "llama", lora(["k_proj", "down_proj"], r=40, alpha=7)),
        Case("llama-rslora", "llama", lora(PROJECTIONS, r=6, alpha=13, use_rslora=True)),
        Case(
            "llama-patterns",
            "llama",
            lora(
                PROJECTIONS,
                rank_pattern={r"layers\.1\.self_attn\.(?!k_proj)[qv]_proj": 3, "mlp.down_proj": 6},
                alpha_pattern={r"model\.layers\.(\d)\.mlp\.(up|gate)_proj": 3, "o_proj": 32},
            ),
        ),
        Case(
            "llama-patterns-lookbehind",
            "llama",
            lora(
                PROJECTIONS,
                use_rslora=True,
                rank_pattern={r".*(?<!self_attn\.)(gate|up)_proj": 5},
                alpha_pattern={r"(?P<p>[qv])_proj": 11, r"^model\.layers\.0\.mlp\.down_proj": 2},
            ),
        ),
        Case("llama-patterns-dora", "llama", lora(ATTENTION, use_dora=True, rank_pattern={"q_proj": 2}, alpha_pattern={"^model.layers.1.self_attn.v_proj": 3})),
        Case("llama-layers-to-transform", "llama", lora(ATTENTION, layers_to_transform=[1], layers_pattern="layers")),
        Case("llama-exclude", "llama", lora(PROJECTIONS, exclude_modules=["o_proj", "model.layers.0.mlp.up_proj"])),
        Case("llama-gaussian", "llama", lora(ATTENTION, init_lora_weights="gaussian", lora_dropout=0.1)),
        Case("llama-dora", "llama", lora(PROJECTIONS, use_dora=True)),
        Case("llama-dora-rslora", "llama", lora(ATTENTION, r=5, use_dora=True, use_rslora=True)),
        Case("llama-dora-head", "llama", lora(["lm_head", "q_proj"], use_dora=True)),
        Case("llama-dora-embedding", "llama", lora(["embed_tokens", "q_proj"], use_dora=True)),
        Case("llama-head", "llama", lora(["lm_head", "v_proj"])),
        Case("llama-embedding", "llama", lora(["embed_tokens", "v_proj"])),
        Case("llama-embedding-head", "llama", lora(["embed_tokens", "lm_head", "v_proj"], r=5, alpha=9)),
        Case("llama-save-head", "llama", lora(["q_proj"], modules_to_save=["lm_head"])),
        Case("llama-save-both", "llama", lora(["q_proj"], modules_to_save=["embed_tokens", "lm_head"])),
        Case("llama-save-norms", "llama", lora(["q_proj"], modules_to_save=["input_layernorm", "norm"])),
        Case("llama-tokens", "llama", lora(["q_proj"], trainable_token_indices=[0, 7, 95])),
        Case("llama-tokens-both", "llama", lora(["q_proj"], trainable_token_indices={"embed_tokens": [1, 3], "lm_head": [3, 90, 4]})),
        Case("llama-grown", "llama", lora(["q_proj"]), vocab=7),
        Case("llama-shrunk", "llama", lora(["q_proj", "v_proj"]), vocab=-9),
        Case("llama-grown-saved", "llama", lora(["q_proj"], modules_to_save=["embed_tokens", "lm_head"]), vocab=5),
        Case("llama-grown-embedding", "llama", lora(["embed_tokens", "lm_head"]), vocab=5),
        Case("llama-grown-tokens", "llama", lora(["q_proj"], trainable_token_indices=[2, 97]), vocab=5),
        Case("llama-sharded", "llama_sharded", lora(PROJECTIONS, r=2)),
        Case("llama-sharded-f32", "llama_sharded", lora(["embed_tokens", "lm_head", "o_proj"], r=2), dtype="f32"),
        Case("llama-scores", "llama", lora(ATTENTION, r=2, task_type="SEQ_CLS"), head="LlamaForSequenceClassification", load={"num_labels": 3}),
        Case("llama-token-classes", "llama", lora(["q_proj"], r=2, task_type="TOKEN_CLS"), head="LlamaForTokenClassification", load={"num_labels": 5}),
        Case("llama-encoder", "llama", lora(PROJECTIONS, r=2, task_type="FEATURE_EXTRACTION"), head="LlamaModel"),
        Case("llama-dropped-layer", "llama", lora(["q_proj", "up_proj"], layer_replication=[[1, 2]]), twin="layers", expect="forward"),
        Case("llama-replicated", "llama", lora(["q_proj", "up_proj"], layer_replication=[[0, 2], [0, 2]]), twin="layers", expect="forward"),
        Case("llama-replicated-f32", "llama", lora(["v_proj", "down_proj"], layer_replication=[[0, 1], [0, 2], [1, 2]]), dtype="f32", twin="layers", expect="forward"),
        Case("llama-replicated-dora", "llama", lora(["v_proj"], use_dora=True, layer_replication=[[0, 2], [1, 2]]), twin="layers", expect="forward"),
        Case("llama-wrapped-compile", "llama", lora(ATTENTION, r=2), edit=breaks.insert("_orig_mod."), notes="keys as torch.compile leaves them"),
        Case("llama-wrapped-ddp", "llama", lora(ATTENTION, r=2), edit=breaks.insert("module."), notes="keys as DistributedDataParallel leaves them"),
        Case("llama-wrapped-fsdp", "llama", lora(ATTENTION, r=2), edit=breaks.wrap_fsdp, notes="keys as FSDP leaves them"),
        Case("llama-named-modules", "llama", lora(["v_proj"], r=2, modules_to_save=["lm_head"]), edit=breaks.name_saved_modules, notes="saved modules under the names that PEFT has in memory"),
        Case("llama-named-magnitude", "llama", lora(["v_proj"], r=2, use_dora=True), edit=breaks.magnitude_weight, notes="lora_magnitude_vector.weight"),
        Case("llama-config-2023", "llama", lora(["q_proj", "v_proj"], r=2), edit=breaks.config_of_2023, notes="fields of PEFT 0.3"),
        Case("llama-init-eva", "llama", lora(["q_proj", "v_proj"], r=2), edit=breaks.configure(init_lora_weights="eva"), notes="EVA leaves the base as it is"),
        Case("llama-alpha-float", "llama", lora(["q_proj", "v_proj"], r=3, alpha=12.7)),
        Case("llama-named-default", "llama", lora(ATTENTION, r=2, use_dora=True), edit=breaks.name_default, notes="adapter name kept in the keys"),
    ]


def _dtypes() -> list[Case]:
    cases = []
    for dtype in DTYPES:
        for file in DTYPES:
            if (dtype, file) != ("bf16", "f32"):
                cases.append(Case(f"llama-{dtype}-file-{file}", "llama", lora(["q_proj", "o_proj", "up_proj"], r=3, alpha=5), dtype=dtype, file=file))
        cases += [
            Case(f"llama-{dtype}-safe", "llama", lora(PROJECTIONS, r=8), dtype=dtype, safe=True),
            Case(f"llama-{dtype}-safe-file-bf16", "llama", lora(["v_proj", "embed_tokens"], use_rslora=True), dtype=dtype, file="bf16", safe=True),
            Case(f"llama-{dtype}-safe-dora", "llama", lora(["v_proj", "down_proj"], use_dora=True), dtype=dtype, safe=True),
        ]
    cases += [
        Case("llama-f32-dora", "llama", lora(PROJECTIONS, r=2, use_dora=True), dtype="f32"),
        Case("llama-f16-dora-file-bf16", "llama", lora(["q_proj", "down_proj"], use_dora=True), dtype="f16", file="bf16"),
        Case("llama-bf16-dora-file-bf16", "llama", lora(["q_proj", "down_proj"], use_dora=True), file="bf16"),
        Case("llama-bf16-save-file-bf16", "llama", lora(["q_proj"], modules_to_save=["lm_head"], trainable_token_indices=[4]), file="bf16"),
        Case("llama-f16-save-file-f32", "llama", lora(["q_proj"], modules_to_save=["embed_tokens"]), dtype="f16"),
    ]
    return cases


def _tied() -> list[Case]:
    cases = [
        Case("tied-plain", "llama_tied", lora(PROJECTIONS)),
        Case("tied-tokens", "llama_tied", lora(["q_proj"], trainable_token_indices=[0, 9, 40])),
        Case("tied-grown", "llama_tied", lora(["q_proj"]), vocab=6),
        Case("tied-shrunk", "llama_tied", lora(["q_proj"]), vocab=-6),
        Case("tied-grown-tokens", "llama_tied", lora(["q_proj"], trainable_token_indices=[3, 98]), vocab=6),
        Case("tied-encoder", "llama_tied", lora(["q_proj"], task_type="FEATURE_EXTRACTION"), head="LlamaModel"),
        Case("tied-scores", "llama_tied", lora(["q_proj"], task_type="SEQ_CLS"), head="LlamaForSequenceClassification", load={"num_labels": 4}),
    ]
    for dtype in ("f32", "bf16"):
        cases += [
            Case(f"tied-embedding-{dtype}", "llama_tied", lora(["embed_tokens", "q_proj"]), dtype=dtype, twin="untied", expect="forward"),
            Case(f"tied-head-{dtype}", "llama_tied", lora(["lm_head", "q_proj"]), dtype=dtype, twin="untied", expect="forward"),
            Case(f"tied-both-{dtype}", "llama_tied", lora(["embed_tokens", "lm_head"]), dtype=dtype, twin="untied", expect="forward"),
            Case(f"tied-save-head-{dtype}", "llama_tied", lora(["q_proj"], modules_to_save=["lm_head"]), dtype=dtype, twin="untied", expect="forward"),
            Case(f"tied-save-embedding-{dtype}", "llama_tied", lora(["q_proj"], modules_to_save=["embed_tokens"]), dtype=dtype, twin="untied", expect="forward"),
            Case(f"tied-save-both-{dtype}", "llama_tied", lora(["q_proj"], modules_to_save=["embed_tokens", "lm_head"]), dtype=dtype, twin="untied", expect="forward"),
            Case(
                f"tied-ensured-{dtype}",
                "llama_tied",
                lora(["embed_tokens", "q_proj"], ensure_weight_tying=True),
                dtype=dtype,
                twin="untied",
                twin_lora={"target_modules": ["embed_tokens", "lm_head", "q_proj"], "ensure_weight_tying": False},
                expect="forward",
            ),
            Case(
                f"tied-ensured-save-{dtype}",
                "llama_tied",
                lora(["q_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True),
                dtype=dtype,
            ),
            Case(
                f"tied-ensured-tokens-{dtype}",
                "llama_tied",
                lora(["q_proj"], trainable_token_indices=[5, 6], ensure_weight_tying=True),
                dtype=dtype,
            ),
        ]
    cases += [
        Case("tied-dora-embedding", "llama_tied", lora(["embed_tokens"], use_dora=True), dtype="f32", twin="untied", expect="forward"),
        Case("tied-dora-head", "llama_tied", lora(["lm_head"], use_dora=True), twin="untied", expect="forward"),
        Case("gpt2-embedding", "gpt2", lora(["wte"]), twin="untied", expect="forward"),
        Case("gpt2-head", "gpt2", lora(["lm_head"]), dtype="f32", twin="untied", expect="forward"),
        Case("qwen3-embedding", "qwen3", lora(["embed_tokens", "k_proj"]), twin="untied", expect="forward"),
        Case("opt-embedding", "opt", lora(["embed_tokens", "fc1"]), twin="untied", expect="forward"),
        Case("gemma2-head", "gemma2", lora(["lm_head"]), twin="untied", expect="forward"),
        Case("tied-grown-embedding", "llama_tied", lora(["embed_tokens", "q_proj"]), vocab=4, twin="untied", expect="forward"),
    ]
    return cases


def _architectures() -> list[Case]:
    return [
        Case("mistral", "mistral", lora("all-linear")),
        Case("qwen2", "qwen2", lora("all-linear", r=3)),
        Case("qwen2-bias-all", "qwen2", lora(["q_proj", "o_proj"], bias="all")),
        Case("qwen2-bias-lora-only", "qwen2", lora(["q_proj", "v_proj", "o_proj"], bias="lora_only"), dtype="f32"),
        Case("qwen2-lora-bias", "qwen2", lora(["q_proj", "k_proj"], r=3, alpha=7, lora_bias=True)),
        Case("qwen2-lora-bias-f32-safe", "qwen2", lora(["q_proj"], r=3, alpha=7, lora_bias=True), dtype="f32", safe=True),
        Case("qwen2-lora-bias-safe", "qwen2", lora(["q_proj"], r=3, alpha=7, lora_bias=True), safe=True),
        Case("qwen2-encoder", "qwen2", lora(["q_proj", "up_proj"], task_type="FEATURE_EXTRACTION"), head="Qwen2Model"),
        Case("qwen3", "qwen3", lora("all-linear")),
        Case("phi3", "phi3", lora("all-linear", r=5)),
        Case("phi3-dora", "phi3", lora(["qkv_proj"], use_dora=True)),
        Case("gemma2", "gemma2", lora("all-linear")),
        Case("gemma2-sharded", "gemma2_sharded", lora(["q_proj", "down_proj"])),
        Case("gpt2", "gpt2", lora("all-linear", r=3)),
        Case("gpt2-f32", "gpt2", lora(["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True), dtype="f32"),
        Case("gpt2-square", "gpt2", lora(r".*attn\.c_proj"), notes="only square Conv1D weights: no shape tells the orientation"),
        Case("gpt2-dora", "gpt2", lora(["c_attn", "c_proj"], use_dora=True)),
        Case("gpt2-safe", "gpt2", lora(["c_attn", "c_proj"]), safe=True),
        Case("gpt2-lora-bias", "gpt2", lora(["c_attn"], lora_bias=True)),
        Case("gpt2-bias-all", "gpt2", lora(["c_attn"], bias="all"), dtype="f16"),
        Case("gpt2-positions", "gpt2", lora(["wpe"])),
        Case("gpt2-tokens", "gpt2", lora(["c_fc"], trainable_token_indices={"wte": [3, 4]})),
        Case("gpt2-scores", "gpt2", lora(["c_attn"], task_type="SEQ_CLS"), head="GPT2ForSequenceClassification", load={"num_labels": 2}),
        Case("gpt-neox", "gpt_neox", lora("all-linear")),
        Case("gpt-neox-head", "gpt_neox", lora(["query_key_value", "embed_out", "lm_head"])),
        Case("gpt-neox-embedding", "gpt_neox", lora(["embed_in", "dense"]), dtype="f32"),
        Case("opt", "opt", lora("all-linear")),
        Case("opt-bias-lora-only", "opt", lora(["q_proj"], bias="lora_only")),
        Case("falcon", "falcon", lora("all-linear")),
        Case("bloom", "bloom", lora("all-linear")),
        Case("bloom-tokens", "bloom", lora(["query_key_value"], trainable_token_indices={"word_embeddings": [1, 2]})),
        Case("t5", "t5", lora(["q", "v", "wi", "wo"], r=3, task_type="SEQ_2_SEQ_LM")),
        Case("t5-f32-dora", "t5", lora(["q", "k"], use_dora=True, task_type="SEQ_2_SEQ_LM"), dtype="f32"),
        Case("t5-encoder", "t5", lora(["q", "v"], task_type="FEATURE_EXTRACTION"), head="T5EncoderModel"),
        Case("bert-classifier", "bert_bare", lora(["query", "value"], task_type="SEQ_CLS"), head="BertForSequenceClassification", load={"num_labels": 3}),
        Case("bert-classifier-f32", "bert_bare", lora(["query", "dense"], task_type="SEQ_CLS"), dtype="f32", head="BertForSequenceClassification", load={"num_labels": 2}),
        Case("bert-pretraining-classifier", "bert_pretraining", lora(["query", "value"], task_type="SEQ_CLS"), head="BertForSequenceClassification", load={"num_labels": 3}),
        Case("bert-token-classes", "bert_pretraining", lora(["key"], task_type="TOKEN_CLS"), head="BertForTokenClassification", load={"num_labels": 4}),
        Case("bert-questions", "bert_bare", lora(["key"], task_type="QUESTION_ANS"), head="BertForQuestionAnswering"),
        Case("bert-encoder", "bert_bare", lora(["query", "dense"], task_type="FEATURE_EXTRACTION")),
        Case("bert-embeddings", "bert_bare", lora(["word_embeddings", "position_embeddings"], task_type="FEATURE_EXTRACTION")),
        Case("bert-bias-all", "bert_bare", lora(["query"], bias="all", task_type="FEATURE_EXTRACTION")),
        Case("roberta-classifier", "roberta", lora(["query", "value"], task_type="SEQ_CLS"), head="RobertaForSequenceClassification", load={"num_labels": 3}),
        Case("roberta-masked", "roberta", lora(["query", "value", "lm_head.dense"])),
        Case("distilbert-classifier", "distilbert", lora(["q_lin", "v_lin"], modules_to_save=["pre_classifier", "classifier"], task_type="SEQ_CLS"), head="DistilBertForSequenceClassification", load={"num_labels": 3}),
        Case("whisper", "whisper", lora(["q_proj", "v_proj", "fc1", "out_proj"])),
        Case("whisper-conv", "whisper", lora(["conv1", "conv2"]), notes="merging works although PEFT cannot run the un-merged model"),
        Case("whisper-conv-dora", "whisper", lora(["conv1", "k_proj"], use_dora=True), dtype="f32"),
        Case("vit", "vit", lora(["query", "value", "q_proj", "v_proj", "projection"])),
        Case("vit-dora", "vit", lora(["projection"], use_dora=True)),
        Case("vit-classifier", "vit", lora(["projection", "q_proj", "query"], modules_to_save=["classifier"]), head="ViTForImageClassification", load={"num_labels": 3}),
        Case("siglip", "siglip", lora(["attention", "q_proj", "patch_embedding"]), notes="pooling head on torch.nn.MultiheadAttention: out_proj takes its delta twice"),
        Case("siglip-safe", "siglip", lora(["attention"]), safe=True),
        Case("llava", "llava", lora(["q_proj", "v_proj", "linear_1"])),
        Case("llava-text", "llava", lora(r".*language_model.*(q_proj|down_proj)", r=3)),
        Case("llava-patch", "llava", lora(["patch_embedding", "lm_head"], r=3)),
        Case("llava-v4-names", "llava", lora(r".*language_model.*(q_proj|down_proj)", r=3), edit=breaks.llava_v4, notes="keys as transformers 4 named them"),
        Case("qwen2-vl", "qwen2_vl", lora(["q_proj", "v_proj", "qkv", "fc1", "proj"], r=3)),
        Case("qwen2-vl-text", "qwen2_vl", lora(["q_proj", "down_proj"], r=3, use_rslora=True)),
        Case("qwen2-vl-patch-dora", "qwen2_vl", lora(r".*patch_embed\.proj", use_dora=True), dtype="f32"),
        Case("qwen2-vl-v4-names", "qwen2_vl", lora(["q_proj", "qkv"], r=3), edit=breaks.qwen2_vl_v4, notes="keys as transformers 4 named them"),
    ]


def _kinds() -> list[Case]:
    """Each kind of layer on a model that no table of architectures knows."""
    every = ["linear", "plain", "conv1d", "conv2d", "conv3d", "emb"]
    cases = []
    for dtype in DTYPES:
        cases += [
            Case(f"kinds-{dtype}", "layers", lora([*every, "attn"], r=3, alpha=5), dtype=dtype),
            Case(f"kinds-{dtype}-safe", "layers", lora([*every, "attn"], r=3, alpha=5), dtype=dtype, safe=True),
            Case(f"kinds-{dtype}-dora", "layers", lora(every, r=3, alpha=5, use_dora=True), dtype=dtype),
            Case(f"kinds-{dtype}-file-bf16", "layers", lora([*every, "attn"], use_rslora=True), dtype=dtype, file="bf16"),
        ]
    cases += [
        Case("kinds-lora-bias", "layers", lora(["linear", "conv1d", "conv2d", "conv3d"], lora_bias=True)),
        Case("kinds-lora-bias-safe", "layers", lora(["linear", "conv2d"], lora_bias=True), safe=True),
        Case("kinds-bias-all", "layers", lora(["linear", "conv2d", "plain"], bias="all"), dtype="f32"),
        Case("kinds-bias-lora-only", "layers", lora(["linear", "conv2d"], bias="lora_only")),
        Case("kinds-attention", "layers", lora(["attn"], r=2, alpha=3)),
        Case("kinds-attention-bias-all", "layers", lora(["attn"], bias="all"), dtype="f32"),
        Case("kinds-save", "layers", lora(["linear"], modules_to_save=["norm", "conv1d", "attn"])),
        Case("kinds-tokens", "layers", lora(["linear"], trainable_token_indices={"emb": [29, 0]})),
    ]
    return cases


def _refusals() -> list[Case]:
    plain = lora(["q_proj", "v_proj"], r=2)
    q0 = "model.layers.0.self_attn.q_proj"

    def refuse(name: str, edit: Callable[[Path], None], *words: str, lora_config: dict[str, Any] = plain, **more: Any) -> Case:
        return Case(f"refuse-{name}", more.pop("base", "llama"), lora_config, expect="refuse", edit=edit, refusal=words, **more)

    return [
        refuse("empty-zero3", breaks.empty, "adapter_model.safetensors"),
        refuse("renamed-tensor", breaks.rename(f"{q0}.lora_A", "model.layers.0.self_attn.qq_proj.lora_A"), "self_attn.q"),
        refuse("renamed-module", breaks.rename("layers.0.self_attn.q_proj", "layers.0.self_attn.query_projection"), "query_projection"),
        refuse("missing-b", breaks.drop(f"{q0}.lora_B.weight"), q0, "lora_B"),
        refuse("missing-a", breaks.drop(f"{q0}.lora_A.weight"), q0, "lora_A"),
        refuse("extra-tensor", breaks.add("base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight"), "lora_C"),
        refuse("layer-too-many", breaks.rename("layers.1.", "layers.5."), "layers.5."),
        refuse("wrong-base", breaks.widen, "q_proj"),
        refuse("rank-mismatch", breaks.configure(r=3), "q_proj"),
        refuse("nan", breaks.poison(f"{q0}.lora_A.weight", float("nan")), f"{q0}.lora_A"),
        refuse("inf", breaks.poison(f"{q0}.lora_B.weight", float("inf")), f"{q0}.lora_B"),
        refuse("overflow", breaks.enlarge(1e7), "q_proj", dtype="f16"),
        refuse("truncated", breaks.truncate, "adapter_model.safetensors"),
        refuse("lfs-pointer", breaks.lfs_pointer, "adapter_model.safetensors"),
        refuse("no-weights", breaks.remove("adapter_model.safetensors"), "adapter_model"),
        refuse("config-not-json", breaks.garble_config, "adapter_config.json"),
        refuse("alora", breaks.configure(alora_invocation_tokens=[5, 6]), "alora_invocation_tokens"),
        refuse("arrow", breaks.configure(arrow_config={"top_k": 2}), "arrow_config"),
        refuse("pissa-niter", breaks.configure(init_lora_weights="pissa_niter_4"), "pissa_niter_4"),
        refuse("corda", breaks.configure(init_lora_weights="corda"), "corda"),
        refuse("loftq", breaks.configure(init_lora_weights="loftq"), "loftq"),
        refuse("lora-ga", breaks.configure(init_lora_weights="lora_ga"), "lora_ga"),
        refuse("unknown-type", breaks.configure(peft_type="QUUX"), "QUUX"),
        refuse("xlora", breaks.configure(peft_type="XLORA"), "XLORA"),
        refuse("prompt", breaks.configure(peft_type="PROMPT_TUNING"), "PROMPT_TUNING"),
        refuse("unknown-field", breaks.configure(use_flux_capacitor=True), "use_flux_capacitor"),
        refuse("wrong-architecture", breaks.unchanged, "c_attn", lora_config=lora(["c_attn"]), base="gpt2", against="llama-bf16"),
        refuse("bias-without-base-bias", breaks.add_lora_bias, "q_proj"),
    ]


def _sweep() -> list[Case]:
    """Wider nets for runs with other seeds."""
    bases = ("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gpt2", "gpt_neox", "opt", "falcon", "bloom")
    cases = []
    for base in bases:
        for dtype in DTYPES:
            options = lora("all-linear", r=5, alpha=7, use_rslora=dtype == "f16", use_dora=dtype == "f32")
            cases.append(Case(f"sweep-{base}-{dtype}", base, options, dtype=dtype, file=dtype, sweep=True))
    for model in sweep.BUILDERS:
        targets = ["in_proj", "x_proj"] if model.startswith("Mamba") else "all-linear"
        cases.append(Case(f"sweep-{model}", model, lora(targets, r=3), sweep=True))
        bare = re.sub("For(CausalLM|ConditionalGeneration|MaskedLM)$", "Model", model)
        # Gemma3Model is the one with images; AlbertModel has a pooler that its base lacks.
        if bare not in (model, "Gemma3Model", "AlbertModel"):
            cases.append(Case(f"sweep-{bare}", model, lora(targets, r=2, task_type="FEATURE_EXTRACTION"), head=bare, dtype="f32", sweep=True))
    return cases


CASES: list[Case] = [
    *_llama_options(),
    *_dtypes(),
    *_tied(),
    *_architectures(),
    *_kinds(),
    *kinds.cases(),
    *_refusals(),
    *_sweep(),
]
