"""What a training step learns from: segments, and what makes embeddings of one thing alike.

B clips, T frames, Q queries, C channels, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.utils.events import get_event_storage, has_event_storage

from gvseg.modeling.criterion import SetCriterion
from gvseg.modeling.label_sets import LabelSets
from gvseg.modeling.matching import Match
from gvseg.modeling.task_oriented.class_memory import ClassMemory
from gvseg.modeling.task_oriented.class_queues import ClassQueues
from gvseg.modeling.task_oriented.contrastive import TaskOrientedContrast, View
from gvseg.modeling.task_oriented.cues import (
    ShapePositionCues,
    TeachingGuide,
    true_frame_size,
    true_masks,
)
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
from gvseg.structures import ClipTargets, TubePrediction
from gvseg.tasks import Task, model_task

DESCRIBED_SIDE = 240  # pixels of the short side that masks are compared with, at least


@dataclass(frozen=True)
class Segmented:
    """Predictions of some clips beside what they should be."""

    prediction: TubePrediction
    targets: list[ClipTargets]
    samples: list[int]  # to which sample of the batch each clip belongs
    sets: list[int]  # label set of each clip
    tasks: list[Task]


class TaskOrientedLearning(nn.Module):
    """The losses of a training step.

    Args:
        criterion: judges classes and masks.
        contrast: judges embeddings, where wanted.
        descriptor: of the true masks, for `contrast`.
        label_sets: the classes of the datasets.
        learns_to_follow: whether exemplars' objects are segmented in the extra frames too.
        num_class_views: how many of the extra frames semantic classes are compared with where they
            have no queues, the first ones; None for all.
    """

    @configurable
    def __init__(
        self,
        *,
        criterion: SetCriterion,
        contrast: TaskOrientedContrast | None,
        descriptor: ShapePositionDescriptor,
        label_sets: LabelSets,
        learns_to_follow: bool,
        num_class_views: int | None = None,
    ) -> None:
        super().__init__()
        self.criterion = criterion
        self.contrast = contrast
        self.descriptor = descriptor
        self.label_sets = label_sets
        self.learns_to_follow = learns_to_follow
        self.num_class_views = num_class_views

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        contrastive = cfg.MODEL.GVSEG.CONTRASTIVE
        task = model_task(cfg.MODEL.GVSEG.TASK)
        contrast = None
        if contrastive.ENABLED:
            if contrastive.CLASS_SAMPLES not in ("dataset", "video", "beside"):
                raise ValueError(
                    f"MODEL.GVSEG.CONTRASTIVE.CLASS_SAMPLES is {contrastive.CLASS_SAMPLES!r}; "
                    "choose dataset, video or beside."
                )
            has_classes = task is None or task.has_stuff
            queues = None
            if has_classes and contrastive.CLASS_SAMPLES == "dataset":
                queues = ClassQueues(
                    num_classes=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
                    embed_dim=cfg.MODEL.MASK_FORMER.HIDDEN_DIM,
                    size=contrastive.QUEUE_SIZE,
                )
            if contrastive.CLASS_SAMPLES == "beside" and _lacks_frame_beside(cfg):
                raise ValueError(
                    "MODEL.GVSEG.CONTRASTIVE.CLASS_SAMPLES beside needs a frame beside clips; set "
                    "INPUT.SAMPLING_EXTRA_FRAME_NUM to 2, or INPUT.SAMPLING_EXTRA_FRAME_MODE near."
                )
            compares_views = task is None or task.has_instances or (has_classes and queues is None)
            if compares_views and _lacks_other_views(cfg):
                raise ValueError(
                    "MODEL.GVSEG.CONTRASTIVE compares a clip with other frames of its video; set "
                    "INPUT.SAMPLING_EXTRA_FRAME_NUM to 1 or more, or CONTRASTIVE.ENABLED to False."
                )
            contrast = TaskOrientedContrast(
                tau=contrastive.TAU,
                distant=contrastive.DISTANT,
                temperature=contrastive.TEMPERATURE,
                weight=contrastive.WEIGHT,
                cosine_weight=contrastive.COSINE_WEIGHT,
                queues=queues,
                has_things=task is None or task.has_instances,
                has_classes=has_classes,
            )
        model, has_extra = cfg.MODEL, cfg.INPUT.SAMPLING_EXTRA_FRAME_NUM > 0
        if task is None and has_extra and "SyncBN" in (model.SEM_SEG_HEAD.NORM, model.RESNETS.NORM):
            raise ValueError(
                "SyncBN waits for all processes, but with MODEL.GVSEG.TASK mixed not all of them "
                "segment extra frames in a step; choose another NORM, or set "
                "INPUT.SAMPLING_EXTRA_FRAME_NUM to 0."
            )
        return {
            "criterion": SetCriterion(cfg),
            "contrast": contrast,
            # Histograms are compared as they are: a learnt projection would never be learnt.
            "descriptor": ShapePositionDescriptor(
                **{**ShapePositionDescriptor.from_config(cfg), "projection": "interpolate"}
            ),
            "label_sets": LabelSets.from_config(cfg),
            "learns_to_follow": has_extra and task in (None, Task.EVS),
            "num_class_views": 1 if contrastive.CLASS_SAMPLES == "beside" else None,
        }

    def uses_extra(self, task: Task) -> bool:
        """Tell whether other frames of a video would teach a task anything."""
        if task is Task.EVS and self.learns_to_follow:
            return True
        if self.contrast is None:
            return False
        return task.has_instances or (self.contrast.queues is None and task.has_stuff)

    def match(self, prediction: TubePrediction, targets: list[ClipTargets]) -> list[Match]:
        """Return the matches of a prediction, which keeps them for its losses."""
        iteration = get_event_storage().iter if has_event_storage() else 0
        return self.criterion.match(prediction, targets, iteration)

    def guide(
        self, cues: ShapePositionCues, is_cued: Tensor, targets: list[ClipTargets]
    ) -> TeachingGuide:
        """Return what tells queries of shapes and positions in training.

        Args:
            cues: where they come from.
            is_cued: (B, K+1) bool, which classes have cues.
            targets: of the clips.
        """
        return TeachingGuide(cues, is_cued, targets, lambda start: self.match(start, targets))

    def forward(
        self, clips: Segmented, extra: Segmented | None, memory: ClassMemory | None
    ) -> dict[str, Tensor]:
        """Return weighted losses by name; memory and queues take in what the step found.

        Args:
            clips: that are learnt, with the predictions of every layer.
            extra: other frames of the same videos, as clips of one frame.
            memory: of the classes, where queries start from it.
        """
        iteration = get_event_storage().iter if has_event_storage() else 0
        losses = self.criterion(clips.prediction, clips.targets, iteration)
        if self.learns_to_follow:
            losses |= self._following_losses(extra, clips.prediction.class_logits, iteration)
        classes, contents, embeds, peers = self._semantic_queries(clips)
        if self.contrast is not None:
            things = self._videos(clips, extra, of_things=True)
            of_classes = []
            if self.contrast.queues is None:
                of_classes = self._videos(clips, extra, of_things=False)
            contrastive, scalars = self.contrast(things, classes, embeds, peers, of_classes)
            # DistributedDataParallel waits for every parameter, and with objects of exemplars alone
            # the head of embeddings would get no gradient.
            idle = 0 * clips.prediction.query_embeds.sum()
            losses |= {name: loss + idle for name, loss in contrastive.items()}
            if has_event_storage():
                values = {name: float(value) for name, value in scalars.items()}
                # Without any pair there is no rate.
                known = {name: value for name, value in values.items() if math.isfinite(value)}
                get_event_storage().put_scalars(**known)
        if memory is not None:
            memory.update(classes, contents)
        return losses

    def _following_losses(
        self, extra: Segmented | None, like: Tensor, iteration: int
    ) -> dict[str, Tensor]:
        """Judge objects in frames that their exemplars are not drawn from (EVS)."""
        tasks = [] if extra is None else extra.tasks
        chosen = [index for index, task in enumerate(tasks) if task is Task.EVS]
        if extra is None or not chosen:
            # All processes must have the same losses, and count their targets together.
            self.criterion.count_nothing(like.device)
            names = ("loss_ce_extra", "loss_mask_extra", "loss_dice_extra")
            return dict.fromkeys(names, like.new_zeros((), dtype=torch.float32))
        prediction = extra.prediction
        part = TubePrediction(
            prediction.class_logits[chosen],
            prediction.mask_logits[chosen],
            prediction.query_embeds[chosen],
        )
        losses = self.criterion(part, [extra.targets[index] for index in chosen], iteration)
        return {f"{name}_extra": loss for name, loss in losses.items()}

    def _semantic_queries(self, clips: Segmented) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Find the queries that stand for semantic classes.

        Returns:
            their classes (M,), contents (M, C), embeddings that are compared (M, C), and beside
            each the classes of its label set that its task does not tell apart (K,) bool; all in
            rows of class memories.
        """
        both = torch.stack(
            [_contents(clips.prediction).float(), clips.prediction.query_embeds.float()]
        )
        classes, found, peers = [], [both[:, 0, :0]], []
        device = both.device
        matches = self.match(clips.prediction, clips.targets)
        for index, (target, (queries, matched)) in enumerate(
            zip(clips.targets, matches, strict=True)
        ):
            label_set = clips.sets[index]
            is_semantic = target.ids[matched] < 0
            rows = target.classes[matched][is_semantic] + self.label_sets.first_row(label_set)
            is_peer = torch.zeros(self.label_sets.num_classes, dtype=torch.bool, device=device)
            is_peer[self.label_sets.semantic_rows(label_set, clips.tasks[index])] = True
            classes.append(rows)
            found.append(both[:, index, queries.to(device)[is_semantic]])
            peers += [is_peer] * len(rows)
        contents, embeds = torch.cat(found, 1)
        return torch.cat(classes), contents, embeds, peers

    def _videos(
        self, clips: Segmented, extra: Segmented | None, *, of_things: bool
    ) -> list[list[View]]:
        """Return what each sample shows of its things or of its semantic classes, view by view."""
        videos: list[list[View]] = [[] for _ in range(max(clips.samples) + 1)]
        for part in (clips, extra):
            if part is None:
                continue
            matches = self.match(part.prediction, part.targets)
            for index, sample in enumerate(part.samples):
                is_anchor = part is clips
                num_extra = sum(not view.is_anchor for view in videos[sample])
                if not (is_anchor or of_things) and num_extra == self.num_class_views:
                    continue
                videos[sample].append(
                    self._view(part, index, matches[index], is_anchor, of_things=of_things)
                )
        return videos

    @torch.no_grad()
    def _describe(self, target: ClipTargets) -> Tensor:
        """Return H of each target in each frame, (N, T, U*V).

        Of small masks every pixel counts in what changes, so frames are not made smaller than need
        be to describe many of them.
        """
        stride = max(min(target.frame_size) // DESCRIBED_SIDE, 1)
        masks, frame_size = true_masks(target, stride), true_frame_size(target, stride)
        return self.descriptor.histograms(masks, frame_size).flatten(2)

    def _view(
        self, part: Segmented, index: int, match: Match, is_anchor: bool, *, of_things: bool
    ) -> View:
        target = part.targets[index]
        queries, matched = (positions.to(target.ids.device) for positions in match)
        is_wanted = (target.ids[matched] >= 0) == of_things
        queries, matched = queries[is_wanted], matched[is_wanted]
        # Objects of exemplars are known by their queries.
        is_exemplar = part.tasks[index] is Task.EVS
        embeds = _contents(part.prediction) if is_exemplar else part.prediction.query_embeds
        return View(
            embeds=embeds[index, queries],
            ids=(target.ids if of_things else target.classes)[matched],
            descriptors=self._describe(target)[matched] if of_things else None,
            is_anchor=is_anchor,
        )


def _contents(prediction: TubePrediction) -> Tensor:
    """Return the queries after the last layer, (B, Q, C)."""
    return prediction.query_embeds if prediction.contents is None else prediction.contents


def _lacks_other_views(cfg: CfgNode) -> bool:
    """Tell whether a clip is all that is segmented of its video, at once."""
    inputs = cfg.INPUT
    is_single = cfg.MODEL.GVSEG.TUBE == "clip" or inputs.SAMPLING_FRAME_NUM < 2
    return is_single and inputs.SAMPLING_EXTRA_FRAME_NUM < 1


def _lacks_frame_beside(cfg: CfgNode) -> bool:
    """Tell whether the first extra frame may be far from the clip."""
    inputs = cfg.INPUT
    return inputs.SAMPLING_EXTRA_FRAME_NUM < 2 and inputs.SAMPLING_EXTRA_FRAME_MODE != "near"
