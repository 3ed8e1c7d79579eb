"""Options of a baseline from the words of a command: typed, an unknown one names its near miss."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from deft_llm.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)


class Options(BaseModel):
    """Base of all baselines' options; ``zero_shot`` and ``answers`` are refused where they mean nothing."""

    model_config = ConfigDict(extra="forbid")


def read_options(model: type[Model], method: str, options: dict[str, Any]) -> Model:
    """Validated options. Raises: UsageError naming what does not fit."""
    if options.pop("zero_shot", False):
        raise UsageError(f"--method {method} must be trained; --zero-shot goes with deft and rules.")
    if options.pop("answers", False):
        raise UsageError(f"--method {method} writes no answers; --answers goes with deft and flow2text.")
    for key in options:
        if key not in model.model_fields:
            near = difflib.get_close_matches(key, model.model_fields, n=1, cutoff=0.4)
            known = ", ".join(model.model_fields) or "none"
            raise UsageError(
                f"method {method}: unknown option {key}; "
                + (f"did you mean {near[0]}?" if near else f"known: {known}.")
            )
    try:
        return model.model_validate(options)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError(
            f"method {method}: option {'.'.join(map(str, fault['loc']))}: {fault['msg']}."
        ) from error
