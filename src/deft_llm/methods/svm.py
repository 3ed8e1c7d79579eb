"""RBF-SVM on relative flow maps (u, v, strain at 28x28): the field's plain reference."""

from __future__ import annotations

from functools import partial
from typing import Any

from deft_llm.methods.features import flow_maps
from deft_llm.methods.kernel import KernelMethod, SVMOptions
from deft_llm.methods.options import read_options
from deft_llm.methods.protocol import Task


class FlowSVMOptions(SVMOptions):
    """``size`` of the maps; ``phases`` 2 adds apex->offset where clips have it."""

    size: int = 28
    phases: int = 1


def build(task: Task, **options: Any) -> KernelMethod:
    """Build the baseline; its class and AU machines read whole maps."""
    read = read_options(FlowSVMOptions, "svm", options)
    extract = partial(flow_maps, size=read.size, phases=read.phases)
    return KernelMethod("svm", frozenset({"flow"}), task, extract, read)
