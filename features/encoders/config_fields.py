"""What of a transformers config goes into a fingerprint: all of it, less what is known not to matter.

SHAPING are recorded as they are, whatever they are. Of all others, those are recorded that differ from what the model's
type would have by default with the same sizes: a field that a later transformers adds, at its default, changes no
fingerprint, and configs that hold nothing unusual keep the fingerprint that SHAPING alone gave them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from features.encoders.casting import FIELD as CASTING

SHAPING = (
    "model_type",
    "hidden_act",
    "activation_function",
    "n_head",
    "num_attention_heads",
    "num_key_value_heads",
    "num_heads",
    "head_dim",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "rms_norm_eps",
    "position_embedding_type",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "sliding_window",
    "max_bucket_distance",
    "do_stable_layer_norm",
    "do_layer_norm_before",
    "feat_extract_norm",
    "feat_extract_activation",
    "conv_stride",
    "squeeze_factor",
    "adapter_stride",
    "image_size",
    "patch_size",
    "window_size",
    CASTING,
)
"""Fields that change the numbers without showing in the names and shapes of the weights, of the commonest models."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SIZES = _names("""
    vocab_size type_vocab_size hidden_size num_hidden_layers intermediate_size embedding_size embed_dim
    hidden_sizes depths num_stages dim hidden_dim n_layers n_embd n_layer n_inner d_model d_kv d_ff d_inner
    num_layers ffn_dim word_embed_proj_dim encoder_layers encoder_ffn_dim projection_dim num_channels
    num_register_tokens conv_dim conv_kernel conv_bias num_feat_extract_layers num_conv_pos_embeddings
    num_conv_pos_embedding_groups num_codevector_groups pooler_hidden_size pooler_output_size attention_bias
    mlp_bias qkv_bias
""")
"""Fields that show in the names and shapes of the weights."""

_POSITIONS = frozenset(("max_position_embeddings", "n_positions", "n_ctx"))
_ROPES_OF_POSITIONS = ("dynamic", "longrope", "yarn")  # whose frequencies depend on how many positions there are

_UNREAD = _names("""
    architectures auto_map name_or_path transformers_version torch_dtype dtype tokenizer_class
    task_specific_params finetuning_task problem_type num_labels id2label label2id output_attentions
    output_hidden_states return_dict output_router_logits use_cache tie_word_embeddings gradient_checkpointing
    apply_spec_augment bos_token_id eos_token_id cls_token_id sep_token_id decoder_start_token_id
    forced_bos_token_id forced_eos_token_id max_length min_length do_sample early_stopping num_beams
    num_beam_groups temperature top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size
    num_return_sequences prefix begin_suppress_tokens decoder_layers decoder_ffn_dim decoder_attention_heads
    num_decoder_layers codevector_dim proj_codevector_dim num_codevectors_per_group num_negatives
    contrastive_logits_temperature classifier_proj_size tdnn_dim tdnn_kernel tdnn_dilation xvector_output_dim
    use_weighted_layer_sum freeze_feat_extract_train num_clusters num_ctc_classes replace_prob
    classifier_activation classifier_bias classifier_pooling decoder_bias deterministic_flash_attn
    sparse_prediction sparse_pred_ignore_index pretraining_tp stage_names out_features out_indices
    max_window_layers pooler_hidden_act bad_words_ids diversity_penalty encoder_no_repeat_ngram_size
    exponential_decay_length_penalty output_scores remove_invalid_values return_dict_in_generate suppress_tokens
    tf_legacy_loss cross_attention_hidden_size
""")
"""Fields that no hidden state of an encoder depends on: names, heads that are left off, decoders, generation; and what
another field says already (`layer_types`)."""

_EARLIER_DEFAULTS: dict[str, Any] = {
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
    "tie_encoder_decoder": False,
    "top_k": 50,
    "torchscript": False,
    "use_bfloat16": False,
}
"""Fields of every config before transformers 5; files of that time hold them."""

_UNREAD_PATTERN = re.compile(r"^_|drop|loss|^init_|_init_|initializer|^summary_|mask_(time|feature|channel)_|^ctc_")
"""Private fields, and those of training alone: what is dropped, lost, drawn at first, or masked in sound."""


def config_fields(config: Any) -> dict[str, Any]:
    """SHAPING and, under `config`, what else is unusual; configs within a config have their own. JSON values."""
    found = {key: plain(getattr(config, key)) for key in SHAPING if getattr(config, key, None) is not None}
    unusual = _unusual(config, SHAPING)
    return found | ({"config": unusual} if unusual else {})


def _unusual(config: Any, recorded: Collection[str]) -> dict[str, Any]:
    """The fields of a config that differ from their defaults and may matter. recorded: those that are so elsewhere"""
    values = config.to_dict()
    own_names = getattr(config, "attribute_map", {})  # a field's common name -> that of this type
    recorded = {*recorded, *(own_names.get(key, key) for key in recorded)}
    sizes = {own_names.get(key, key) for key in _SIZES if not _may_matter(key, config)}
    common_names = {own: common for common, own in own_names.items()}
    same = {key: value for key, value in values.items() if key in sizes or (key in recorded and key != "model_type")}
    defaults = _EARLIER_DEFAULTS | _defaults(type(config), same)
    found: dict[str, Any] = {}
    for key, value in sorted(values.items()):
        inner = getattr(config, key, None)
        if hasattr(inner, "model_type") and hasattr(inner, "to_dict"):
            if within := _unusual(inner, (CASTING,)):
                found[key] = within
        elif key in recorded or not _may_matter(common_names.get(key, key), config):
            continue
        elif plain(value) != plain(defaults.get(key)):
            found[key] = plain(value)
    return found


def _may_matter(key: str, config: Any) -> bool:
    if key in _POSITIONS:
        ropes = str(getattr(config, "rope_parameters", None))
        return any(kind in ropes for kind in _ROPES_OF_POSITIONS)
    if key == "num_hidden_layers":
        return hasattr(config, "num_hidden_groups")  # ALBERT's layers share their weights
    return key not in _SIZES and key not in _UNREAD and not _UNREAD_PATTERN.search(key)


def _defaults(kind: Any, same: dict[str, Any]) -> dict[str, Any]:
    """What a config of the kind has by default beside the fields that are the same, lists of layers among them.

    Where those alone make no config: its plain defaults; where it has none: nothing, and all its fields are recorded.
    """
    for given in (same, {}):
        with suppress(Exception):  # what a config's own checks raise is not told
            made: dict[str, Any] = kind(**given).to_dict()
            return made
    return {}


def plain(value: Any) -> Any:
    """JSON's own types for what a configuration holds."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in (sorted(value, key=str) if isinstance(value, set) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
