"""Put the weights of a checkpoint into a model, and report what went where."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from gvseg.checkpoint.names import find_origin, rename
from gvseg.checkpoint.reading import read_checkpoint

logger = logging.getLogger(__name__)

CLASS_HEAD = "query_decoder.head.classes."
# What has a row for each class or each query.
CLASS_DEPENDENT = (CLASS_HEAD, "query_decoder.queries.", "learning.contrast.queues.")


@dataclass
class MappingReport:
    """What became of each tensor of a checkpoint and of the model."""

    path: str
    origin: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # in the model only
    unexpected: list[str] = field(default_factory=list)  # in the checkpoint only
    mismatched: list[str] = field(default_factory=list)  # "name: shape there, shape here"
    reset: list[str] = field(default_factory=list)  # class head and the like, started anew

    def summary(self) -> str:
        """Return the counts in one line and below it the names that need attention."""
        lines = [
            f"{self.path} ({self.origin}): {len(self.loaded)} tensors loaded, "
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected, "
            f"{len(self.mismatched)} of another shape, {len(self.reset)} started anew"
        ]
        for title in ("missing", "unexpected", "mismatched", "reset"):
            lines += [f"  {title}: {entry}" for entry in getattr(self, title)]
        return "\n".join(lines)


def load_weights(
    model: nn.Module,
    path: str | Path,
    *,
    reset_class_head: bool = False,
    allow_missing: bool = True,
) -> MappingReport:
    """Load a checkpoint of any known origin into a model.

    A checkpoint of a backbone alone leaves the rest of the model as it is; the report says so.

    Args:
        model: a `GvSeg` or another module with our parameter names.
        path: see `read_checkpoint`.
        reset_class_head: keep the model's class head, and what else has a row for each class or
            query, where the checkpoint's has another size.
        allow_missing: accept a checkpoint that lacks tensors of the model, to train them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken or of no known origin, a tensor has another shape, or one is
            missing that may not be.
    """
    tensors, origin = read_as_ours(path)
    report = MappingReport(str(path), origin)
    load_tensors(
        model, tensors, report, reset_class_head=reset_class_head, allow_missing=allow_missing
    )
    return report


def load_tensors(
    model: nn.Module,
    tensors: dict[str, Tensor],
    report: MappingReport,
    *,
    reset_class_head: bool = False,
    allow_missing: bool = True,
) -> None:
    """Load tensors under our names into a model and fill in the report; see `load_weights`."""
    own = model.state_dict()
    fitting: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):
        if name not in own:
            report.unexpected.append(name)
        elif tensor.shape == own[name].shape:
            fitting[name] = tensor
        elif reset_class_head and name.startswith(CLASS_DEPENDENT):
            report.reset.append(name)
        else:
            there, here = tuple(tensor.shape), tuple(own[name].shape)
            report.mismatched.append(f"{name}: {there} in the file, {here} in the model")
    if report.mismatched:
        raise ValueError(_explain(report))
    report.loaded = sorted(fitting)
    report.missing = sorted(set(own) - set(fitting) - set(report.reset))
    if not report.loaded:
        raise ValueError(
            f"{report.path}: no tensor fits the model, whose names start {sorted(own)[:3]}."
        )
    if report.missing and not allow_missing:
        raise ValueError(_explain_missing(report))
    model.load_state_dict(fitting, strict=False)
    level = logging.WARNING if report.missing or report.unexpected else logging.INFO
    logger.log(level, report.summary())


def read_as_ours(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a checkpoint under our names, and where it comes from."""
    tensors = read_checkpoint(path)
    try:
        origin = find_origin(list(tensors))
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from None
    return rename(tensors, origin.rules), origin.title


def _explain_missing(report: MappingReport) -> str:
    first = ", ".join(report.missing[:3])
    return (
        f"{report.path} ({report.origin}) lacks {len(report.missing)} tensors of the model, such "
        f"as {first}; give the checkpoint of a whole model that was trained with this config."
    )


def _explain(report: MappingReport) -> str:
    lines = [f"{report.path} does not fit the model:", *report.mismatched[:10]]
    if len(report.mismatched) > 10:
        lines.append(f"and {len(report.mismatched) - 10} more.")
    if all(entry.startswith(CLASS_DEPENDENT) for entry in report.mismatched):
        lines.append(
            "Use the config that the checkpoint was trained with; or, to train another set of "
            "classes or other queries from it, set MODEL.GVSEG.CLASS_HEAD_RESET True."
        )
    else:
        lines.append("Use the config that the checkpoint was trained with.")
    return "\n  ".join(lines)
