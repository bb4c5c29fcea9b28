"""From the trained network to ONNX: one article a call, fp32 and int8."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from .model import ATTENTION, ArticleTagger

HEAD = "head"
SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter notes which module a node comes from


class OneArticle(nn.Module):
    """The network with one article's windows in and one row of logits out."""

    def __init__(self, model: ArticleTagger) -> None:
        """Wrap a trained network; its weights are shared, not copied."""
        super().__init__()
        self.encoder = model.encoder
        self.head = model.head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Map ids and mask (windows, tokens) to logits (labels,)."""
        # The encoder takes a ready additive mask as it is, which keeps its mask-building code out of the graph.
        additive = (1.0 - attention_mask[:, None, None, :].float()) * -1e4
        hidden = self.encoder(input_ids=input_ids, attention_mask=additive).last_hidden_state
        logits: torch.Tensor = self.head(hidden.flatten(0, 1).unsqueeze(0), attention_mask.flatten().unsqueeze(0))
        return logits.squeeze(0)


def export_fp32(model: ArticleTagger, path: Path) -> None:
    """Write the network as an fp32 ONNX file with inputs ``input_ids``, ``attention_mask`` and output ``logits``."""
    model = model.float().eval()
    model.encoder.set_attn_implementation(ATTENTION)
    ids = torch.ones(2, 16, dtype=torch.long)
    dynamic = {0: torch.export.Dim("windows", max=64), 1: torch.export.Dim("tokens", max=8192)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            OneArticle(model).eval(),
            (ids, torch.ones_like(ids)),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=(dynamic, dynamic),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def quantise(source: Path, target: Path) -> None:
    """Write an int8 copy: weights of matrix products and embeddings in 8 bits, activations scaled per article.

    The head stays in fp32: it is one product in a thousand and its rounding would go straight into the scores.
    """
    head = [node.name for node in onnx.load(source).graph.node if _in_head(node)]
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul", "Gather"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=head,
    )
    _strip_provenance(target)


def _in_head(node: onnx.NodeProto) -> bool:
    return any(entry.key == SCOPES and f"'{HEAD}'" in entry.value for entry in node.metadata_props)


def _strip_provenance(path: Path) -> None:
    """Take out what the exporter notes about its source lines: it names folders of the machine that trained."""
    model = onnx.load(path)
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model.graph):
        del item.metadata_props[:]
        item.doc_string = ""
    onnx.save(model, path)
