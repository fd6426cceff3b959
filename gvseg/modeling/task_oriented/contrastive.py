r"""Task-oriented temporal contrastive learning (GvSeg, section 3.1, Eq. 10).

A anchors, S samples, C channels, T frames, D bins of a descriptor, N objects, K classes.

Embeddings of one object, or of one semantic class, are to be alike. What counts as alike depends
on the task: an object resembles itself in any frame of the video where it has kept its shape and
place; a semantic class resembles itself in the whole training set.

The contrastive loss is the paper's. Beside it stands the auxiliary loss on cosines of trackers that
learn embeddings in this way, of which the paper says nothing: it does not follow the paper in
pushing an object away from itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gvseg.modeling.processes import mean_over_processes
from gvseg.modeling.task_oriented.class_queues import ClassQueues
from gvseg.modeling.task_oriented.shape_position import descriptor_change

DISTANT = ("negative", "ignored")


@dataclass(frozen=True)
class View:
    """The objects of one video, or its semantic classes, as one clip shows them."""

    embeds: Tensor  # (N, C)
    ids: Tensor  # (N,) int64, of objects, or classes
    # (N, T, U*V), shape and position of true masks, zeros where unseen; None for classes
    descriptors: Tensor | None
    is_anchor: bool  # of the clip that is learnt; other views only compare


@dataclass
class Contrast:
    """Sums over anchors with how many had pairs, and what is to be logged."""

    pull: Tensor  # scalar
    cosine: Tensor  # scalar
    num_pulled: Tensor  # scalar, anchors that had positives and negatives
    num_compared: Tensor  # scalar, anchors that had either
    scalars: dict[str, Tensor]


class TaskOrientedContrast(nn.Module):
    """The contrastive losses of things and of semantic classes.

    Args:
        tau: relative change of the descriptor below which a view of the same object is positive.
        distant: what the other views of the same object are: `negative`, as in the paper, or
            `ignored`.
        temperature: dot products are divided by it.
        weight: of the contrastive loss.
        cosine_weight: of the auxiliary loss, which draws cosines to 1 and 0.
        queues: hold the semantic classes of the whole training set; without them classes are
            compared with other views of their video, as things are.
        has_things: whether objects are told apart.
        has_classes: whether there are semantic classes.
    """

    def __init__(
        self,
        *,
        tau: float,
        distant: str,
        temperature: float,
        weight: float,
        cosine_weight: float,
        queues: ClassQueues | None,
        has_things: bool,
        has_classes: bool = False,
    ) -> None:
        super().__init__()
        if distant not in DISTANT:
            raise ValueError(
                f"MODEL.GVSEG.CONTRASTIVE.DISTANT is {distant!r}; choose {' or '.join(DISTANT)}."
            )
        for key, value in (("TAU", tau), ("TEMPERATURE", temperature)):
            if value <= 0:
                raise ValueError(f"MODEL.GVSEG.CONTRASTIVE.{key} is {value}; give more than 0.")
        self.tau = tau
        self.distant_is_negative = distant == "negative"
        self.temperature = temperature
        self.weight = weight
        self.cosine_weight = cosine_weight
        self.queues = queues
        self.has_things = has_things
        self.has_classes = has_classes

    def forward(
        self,
        videos: Sequence[Sequence[View]],
        classes: Tensor,
        class_embeds: Tensor,
        peers: Sequence[Tensor],
        class_videos: Sequence[Sequence[View]] = (),
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the losses by name, and scalars to log.

        The same names come back whatever the batch holds, as all processes must agree on them.
        Queues take in the classes of this step afterwards.

        Args:
            videos: for each clip of the batch, what views of its video show of its things.
            classes: (M,) int64 of matched semantic queries.
            class_embeds: (M, C) of them.
            peers: for each of them, the classes that it is told apart from (K,) bool.
            class_videos: as `videos`, of semantic classes; used where there are no queues.
        """
        parts = {}
        if self.has_things:
            parts["thing"] = self.within_videos(videos, class_embeds)
        if self.queues is not None:
            parts["class"] = self.with_queues(self.queues, classes, class_embeds, peers)
            self.queues.push(classes, class_embeds)
        elif self.has_classes:
            parts["class"] = replace(self.within_videos(class_videos, class_embeds), scalars={})
        losses: dict[str, Tensor] = {}
        scalars: dict[str, Tensor] = {}
        for name, part in parts.items():
            device = part.pull.device
            num_pulled = mean_over_processes(part.num_pulled, device)
            num_compared = mean_over_processes(part.num_compared, device)
            losses[f"loss_contrast_{name}"] = self.weight * part.pull / num_pulled
            losses[f"loss_contrast_{name}_cosine"] = self.cosine_weight * part.cosine / num_compared
            scalars |= part.scalars
        return losses, scalars

    def within_videos(self, videos: Sequence[Sequence[View]], like: Tensor) -> Contrast:
        """Compare the anchors of each video with its other views."""
        sums = [like.new_zeros((), dtype=torch.float32) for _ in range(4)]
        num_same = num_positive = like.new_zeros((), dtype=torch.int64)
        for views in videos:
            for anchor in (view for view in views if view.is_anchor and len(view.ids)):
                others = [view for view in views if view is not anchor]
                if not others:
                    continue
                samples = torch.cat([view.embeds for view in others])
                is_same = anchor.ids[:, None] == torch.cat([view.ids for view in others])
                is_positive, is_negative = is_same, ~is_same
                if anchor.descriptors is not None:
                    is_positive, is_negative = self._judge_shapes(anchor, others, is_same)
                found = self._compare(anchor.embeds, samples, is_positive, is_negative, ~is_same)
                sums = [before + new for before, new in zip(sums, found, strict=True)]
                num_same = num_same + is_same.sum()
                num_positive = num_positive + is_positive.sum()
        pull, cosine, num_pulled, num_compared = sums
        rate = {"contrast/positive_rate": num_positive / num_same}
        return Contrast(pull, cosine, num_pulled, num_compared, rate)

    def _judge_shapes(
        self, anchor: View, others: Sequence[View], is_same: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tell which pairs (A, S) are alike enough to be positive, and which are negative.

        Of views of several frames, the two frames count that are the most alike.
        """
        assert anchor.descriptors is not None
        before = anchor.descriptors[:, None, :, None]  # (A, 1, T, 1, D)
        changes = []
        for view in others:
            assert view.descriptors is not None
            after = view.descriptors[None, :, None]  # (1, N, 1, T, D)
            # A mask too small to be described cannot have changed.
            is_described = before.any(-1) & after.any(-1)
            change = descriptor_change(before, after).where(is_described, float("inf"))
            closest = change.flatten(2).amin(2)
            changes.append(closest.where(is_described.flatten(2).any(2), float("nan")))
        change = torch.cat(changes, 1)
        is_positive = is_same & (change < self.tau)
        is_negative = ~is_same
        if self.distant_is_negative:
            is_negative = is_negative | (is_same & (change >= self.tau))
        return is_positive, is_negative

    def with_queues(
        self, queues: ClassQueues, classes: Tensor, embeds: Tensor, peers: Sequence[Tensor]
    ) -> Contrast:
        """Compare queries of semantic classes with those that the queues remember."""
        fill = {"contrast/queue_fill": queues.fill()}
        if not len(classes):
            zero = embeds.float().sum()
            return Contrast(zero, zero, zero.detach(), zero.detach(), fill)
        samples, sample_classes, is_taken = queues.contents()
        is_peer = torch.stack(list(peers))[:, sample_classes] & is_taken
        is_positive = is_peer & (classes[:, None] == sample_classes)
        is_other = is_peer & ~is_positive
        return Contrast(*self._compare(embeds, samples, is_positive, is_other, is_other), fill)

    def _compare(
        self,
        anchors: Tensor,
        samples: Tensor,
        is_positive: Tensor,
        is_negative: Tensor,
        is_other: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sum both losses over anchors, and count those that have pairs for each.

        Args:
            anchors: (A, C).
            samples: (S, C).
            is_positive: (A, S) bool.
            is_negative: (A, S) bool, of the contrastive loss.
            is_other: (A, S) bool, pairs of different objects or classes: negative for cosines.
        """
        # Products of hundreds of channels go through an exponential: half precision is too coarse.
        with torch.autocast(anchors.device.type, enabled=False):
            anchors, samples = anchors.float(), samples.float()
            products = anchors @ samples.T / self.temperature
            cosines = F.normalize(anchors, dim=1) @ F.normalize(samples, dim=1).T
        pull = contrastive_loss(products, is_positive, is_negative).sum()
        cosine = cosine_loss(cosines, is_positive, is_other).sum()
        has_positive = is_positive.any(1)
        num_pulled = (has_positive & is_negative.any(1)).sum()
        num_compared = (has_positive | is_other.any(1)).sum()
        return pull, cosine, num_pulled, num_compared


def contrastive_loss(products: Tensor, is_positive: Tensor, is_negative: Tensor) -> Tensor:
    r"""Return \(\log(1 + \sum_{+} \sum_{-} \exp(s_- - s_+))\) of each anchor, (A,).

    It is the loss of several positives that trackers by query embeddings use; zero for an anchor
    that lacks one kind or the other.

    Args:
        products: (A, S), s.
        is_positive: (A, S) bool.
        is_negative: (A, S) bool.
    """
    has_both = is_positive.any(1) & is_negative.any(1)
    # An anchor without pairs takes all of them in, so that nothing is infinite, and then counts 0.
    positive = _log_sum_exp(-products, is_positive | ~has_both[:, None])
    negative = _log_sum_exp(products, is_negative | ~has_both[:, None])
    return torch.where(has_both, F.softplus(positive + negative), 0.0)


def cosine_loss(cosines: Tensor, is_positive: Tensor, is_negative: Tensor) -> Tensor:
    """Return the mean squared distance of cosines (A, S) to 1 or 0, (A,); zero without pairs.

    Positives and negatives count alike, however many there are of each.
    """
    kinds = ((cosines - 1, is_positive), (cosines, is_negative))
    means = [
        (far.square() * is_kind).sum(1) / is_kind.sum(1).clamp_min(1) for far, is_kind in kinds
    ]
    num_kinds = is_positive.any(1).float() + is_negative.any(1)
    return sum(means) / num_kinds.clamp_min(1)


def _log_sum_exp(values: Tensor, chosen: Tensor) -> Tensor:
    return values.masked_fill(~chosen, float("-inf")).logsumexp(1)
