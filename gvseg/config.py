"""Every config key of gvseg with its default, and how a YAML becomes a config.

Keys of the core keep the names of Mask2Former, so that its YAMLs load once
`MODEL.META_ARCHITECTURE` is `GvSeg`. Keys of our own live under `MODEL.GVSEG`; a project adds its
own node in `add_config`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
import yaml

from detectron2.config import CfgNode, get_cfg

VERSIONS = (1, 2)  # of detectron2's keys; configs of the first are upgraded


def load_config(config_file: str | Path, overrides: list[str] | None = None) -> CfgNode:
    """Read a YAML, its bases and the projects it names, and return a frozen config.

    Args:
        config_file: a YAML whose `_BASE_` and `PROJECTS` entries are followed; Python files among
            the latter are imported, which can register datasets.
        overrides: `KEY VALUE` pairs that win over the file.

    Raises:
        FileNotFoundError: the file, one of its bases or a Python file it names does not exist.
        ValueError: a file that is no YAML of keys and values, bases that form a circle, a key that
            no part of gvseg knows, a value of the wrong type, or an unknown device.
    """
    path = Path(config_file)
    if not path.is_file():
        raise FileNotFoundError(f"Config file {path} does not exist.")
    cfg = get_cfg()
    add_gvseg_config(cfg)
    files = _with_bases(path)
    for project in _projects(files):
        if isinstance(project, Path):
            import_file(project)
        else:
            _import_project(project, path).add_config(cfg)
    for file, content in files:
        _check_sections(content, cfg, file)
    try:
        # YAMLs are data here: constructors such as !!python/object are refused.
        cfg.merge_from_file(str(path), allow_unsafe=False)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {_reason(error)}") from None
    try:
        cfg.merge_from_list(overrides or [])
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"In the overrides {overrides}: {_reason(error)}") from None
    _check_device(cfg.MODEL.DEVICE)
    cfg.freeze()
    return cfg


def _check_device(name: str) -> None:
    try:
        torch.device(name)
    except RuntimeError:
        raise ValueError(f"MODEL.DEVICE is {name!r}; choose cpu or cuda.") from None


def _reason(error: Exception) -> str:
    return str(error.args[0]) if error.args else str(error)


def _with_bases(path: Path, above: tuple[Path, ...] = ()) -> list[tuple[Path, dict]]:
    """Files with their content, bases first, as each wins over those before it.

    Args:
        path: a YAML.
        above: those that lead to it through their `_BASE_`.
    """
    if path.resolve() in above:
        raise ValueError(f"{above[-1]} names the base {path}, which is itself built on it.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not plain YAML: {error}") from None
    if not isinstance(content, dict):
        kind = "nothing" if content is None else f"a value of type {type(content).__name__}"
        raise ValueError(f"{path} holds {kind}, not keys and values.")
    files = []
    for base in _bases(content, path):
        files += _with_bases(base, (*above, path.resolve()))
    return [*files, (path, content)]


def _bases(content: dict, path: Path) -> list[Path]:
    named = content.get("_BASE_", [])
    bases = named if isinstance(named, list) else [named]
    if not all(isinstance(base, str) for base in bases):
        raise ValueError(f"{path}: _BASE_ is {named!r}; give the path of a YAML or a list of them.")
    paths = [path.parent / Path(base).expanduser() for base in bases]
    for base in paths:
        if not base.is_file():
            raise FileNotFoundError(f"{path} names the base {base}, which does not exist.")
    return paths


def _projects(files: list[tuple[Path, dict]]) -> list[str | Path]:
    """Entries under `PROJECTS` of the last file that has it, Python files as paths."""
    for path, content in reversed(files):
        names = content.get("PROJECTS")
        if "PROJECTS" not in content:
            continue
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{path}: PROJECTS is {names!r}; give a list of names.")
        return [
            path.parent / Path(name).expanduser() if name.endswith(".py") else name
            for name in names
        ]
    return []


def _check_sections(content: dict, cfg: CfgNode, path: Path, above: str = "") -> None:
    """Refuse values where keys belong, which detectron2 would stumble over."""
    version = content.get("VERSION", cfg.get("VERSION"))
    if not above and version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise ValueError(f"{path}: VERSION is {version!r}; detectron2 knows {known}.")
    for key, value in content.items():
        if not isinstance(key, str):
            raise ValueError(f"{path}: the key {above}{key} is no text.")
        default = cfg.get(key)
        if not isinstance(default, CfgNode):
            continue
        if not isinstance(value, dict):
            raise ValueError(f"{path}: {above}{key} is {value!r}, but keys belong below it.")
        _check_sections(value, default, path, f"{above}{key}.")


def _import_project(name: str, path: Path) -> ModuleType:
    if importlib.util.find_spec("projects") is None or not importlib.util.find_spec(
        f"projects.{name}"
    ):
        raise ValueError(f"{path} names the project {name!r}, but there is no projects/{name}.")
    return importlib.import_module(f"projects.{name}")


def import_file(file: Path) -> None:
    """Import a Python file of the user's once, as worker processes can do too.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another module of its name is imported already.
    """
    path = file.resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{file}, named as a project, does not exist.")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    imported = getattr(importlib.import_module(path.stem), "__file__", None)
    if imported is None or Path(imported).resolve() != path:
        raise ValueError(
            f"{file}, named as a project, is called {path.stem} as {imported} is; rename yours."
        )


def add_gvseg_config(cfg: CfgNode) -> None:
    """Add every key that detectron2 does not have, with defaults."""
    cfg.PROJECTS = []  # packages under projects/, whose add_config() is called first, and files of
    # your own such as my_data.py, seen from the YAML, that register datasets and the like
    _add_input(cfg)
    _add_solver(cfg)
    _add_mask_former(cfg)
    _add_backbones(cfg)
    _add_gvseg(cfg)


def _add_input(cfg: CfgNode) -> None:
    cfg.INPUT.DATASET_MAPPER_NAME = ""  # of it counts only the end _lsj, as LARGE_SCALE_JITTER
    cfg.INPUT.COLOR_AUG_SSD = False  # photometric jitter: brightness, contrast, saturation, hue
    cfg.INPUT.SIZE_DIVISIBILITY = -1  # read from Mask2Former YAMLs; MODEL.MASK_FORMER has ours
    cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA = 1.0  # redraw crops of which one class covers more
    cfg.INPUT.CROP.MIN_KEPT_SHARE = 0.0  # redraw crops that lose more of the objects and classes
    cfg.INPUT.CROP.PROBABILITY = 1.0  # share of clips that are cropped, where CROP.ENABLED
    cfg.INPUT.CROP.MIN_SIZE_BEFORE = []  # shorter edges to crop at, such as 400, 500, 600: then
    # MIN_SIZE_TRAIN comes after the crop, else before
    cfg.INPUT.CROP.MAX_SIZE_BEFORE = 1333  # bound of the longer edge there
    cfg.INPUT.IMAGE_SIZE = 1024  # side of the square that large-scale jitter crops and pads to
    cfg.INPUT.MIN_SCALE = 0.1  # large-scale jitter, relative to IMAGE_SIZE
    cfg.INPUT.MAX_SCALE = 2.0
    cfg.INPUT.LARGE_SCALE_JITTER = False  # resize by MIN_SCALE..MAX_SCALE, then crop to IMAGE_SIZE
    cfg.INPUT.SAMPLING_FRAME_NUM = 1  # frames of a training clip, counted among annotated ones
    cfg.INPUT.SAMPLING_FRAME_RANGE = 20  # other frames lie this close to the key frame
    cfg.INPUT.SAMPLING_FRAME_SHUFFLE = False  # keep the order of time
    cfg.INPUT.SAMPLING_FRAME_MODE = "around"  # a random key frame, or "consecutive"
    cfg.INPUT.SAMPLING_FRAME_STRIDE = 1  # distance of consecutive frames
    cfg.INPUT.SAMPLING_EXTRA_FRAME_NUM = 0  # frames of the rest of the video beside each clip
    cfg.INPUT.SAMPLING_EXTRA_FRAME_MODE = "video"  # from all of it, the first of several beside the
    # clip, or "near": no farther than SAMPLING_FRAME_RANGE
    cfg.INPUT.SAMPLING_UNIT = "video"  # what an epoch visits once, or "frame": each as key frame
    cfg.INPUT.EXEMPLAR_KINDS = ["mask", "box", "point"]  # that EVS draws among in training
    cfg.INPUT.EXEMPLAR_BOX_JITTER = 0.0  # of width and height; edges of boxes move by up to this
    cfg.INPUT.EXEMPLAR_GROUP_PROB = 0.0  # that EVS takes an object and one that touches it for one
    cfg.INPUT.ROTATION = 0.0  # degrees; every clip is turned by up to +- this
    cfg.INPUT.COPY_PASTE_PROB = 0.0  # share of clips that get objects of another one
    cfg.INPUT.COPY_PASTE_BESIDE = 0.0  # share of these in which one comes beside one of its class
    cfg.INPUT.PSEUDO_CLIP = CfgNode()  # how the copies of a still image move over the clip
    cfg.INPUT.PSEUDO_CLIP.ROTATION = 15.0  # degrees
    cfg.INPUT.PSEUDO_CLIP.ZOOM = 0.1  # scales lie between 1 / 1.1 and 1.1
    cfg.INPUT.PSEUDO_CLIP.SHIFT = 0.1  # of height and width
    cfg.INPUT.AUGMENTATIONS = []  # of "brightness", "contrast", "saturation" and "rotation"
    cfg.DATASETS.DATASET_RATIO = []  # share of each training set; empty means by size


def _add_solver(cfg: CfgNode) -> None:
    cfg.SOLVER.OPTIMIZER = "ADAMW"  # or "SGD"
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1  # learning rate of the backbone relative to BASE_LR
    cfg.SOLVER.WEIGHT_DECAY_EMBED = 0.0  # weight decay of embeddings
    cfg.SOLVER.POLY_LR_POWER = 0.9  # of the schedules named WarmupPolyLR
    cfg.SOLVER.POLY_LR_CONSTANT_ENDING = 0.0
    cfg.SOLVER.AVERAGE_FROM = 0  # checkpoints from this iteration on are averaged at the end, into
    # model_average.pth, which is evaluated; 0: none are
    cfg.SOLVER.AMP.PRECISION = "bfloat16"  # or "float16"; used where SOLVER.AMP.ENABLED


def _add_mask_former(cfg: CfgNode) -> None:
    cfg.MODEL.MASK_FORMER = CfgNode()
    former = cfg.MODEL.MASK_FORMER
    former.DEEP_SUPERVISION = True  # a loss after every decoder layer
    former.NO_OBJECT_WEIGHT = 0.1  # weight of "no object" in the class loss
    former.CLASS_WEIGHT = 2.0  # in the loss and in the matching cost
    former.MASK_WEIGHT = 5.0
    former.DICE_WEIGHT = 5.0
    former.HIDDEN_DIM = 256  # channels of queries and of the decoder
    former.NUM_OBJECT_QUERIES = 100
    former.NHEADS = 8  # attention heads, of the pixel decoder too
    former.DIM_FEEDFORWARD = 2048
    former.DROPOUT = 0.0
    former.PRE_NORM = False
    former.ENC_LAYERS = 0  # read from Mask2Former YAMLs; SEM_SEG_HEAD has the pixel encoder's
    former.DEC_LAYERS = 10  # predictions: one of the learnable queries and one per layer
    former.ENFORCE_INPUT_PROJ = False  # True, to project where widths agree, is not supported
    former.TRANSFORMER_DECODER_NAME = ""  # read from Mask2Former YAMLs; see GVSEG.POSITION_DIMS
    former.TRANSFORMER_IN_FEATURE = "multi_scale_pixel_decoder"  # no other is built here
    former.SIZE_DIVISIBILITY = 32  # frames are padded to a multiple of this
    former.TRAIN_NUM_POINTS = 112 * 112  # points of the mask loss and of the matching cost
    former.OVERSAMPLE_RATIO = 3.0  # candidates per point, of which the most uncertain are kept
    former.IMPORTANCE_SAMPLE_RATIO = 0.75  # share of points chosen by uncertainty
    former.TEST = CfgNode()
    former.TEST.SEMANTIC_ON = True  # these three are read from YAMLs; MODEL.GVSEG.TASK decides
    former.TEST.INSTANCE_ON = False
    former.TEST.PANOPTIC_ON = False
    former.TEST.OBJECT_MASK_THRESHOLD = 0.8  # panoptic: score below which a query is dropped
    former.TEST.OVERLAP_THRESHOLD = 0.8  # panoptic: visible share below which a query is dropped
    former.TEST.SEM_SEG_POSTPROCESSING_BEFORE_INFERENCE = False  # read from YAMLs; always done

    head = cfg.MODEL.SEM_SEG_HEAD
    head.NAME = "MaskFormerHead"  # no other is built here
    head.MASK_DIM = 256
    head.PIXEL_DECODER_NAME = "MSDeformAttnPixelDecoder"  # the only one there is
    head.TRANSFORMER_ENC_LAYERS = 6  # of the pixel decoder
    head.DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES = ["res3", "res4", "res5"]
    head.DEFORMABLE_TRANSFORMER_ENCODER_N_POINTS = 4
    head.DEFORMABLE_TRANSFORMER_ENCODER_N_HEADS = 8  # read from YAMLs; MASK_FORMER.NHEADS decides
    head.DEFORMABLE_TRANSFORMER_ENCODER_DIM_FEEDFORWARD = 1024


def _add_backbones(cfg: CfgNode) -> None:
    cfg.MODEL.RESNETS.STEM_TYPE = "basic"  # the only one there is, as in the next two
    cfg.MODEL.RESNETS.RES4_DILATION = 1
    cfg.MODEL.RESNETS.RES5_MULTI_GRID = [1, 1, 1]
    cfg.MODEL.SWIN = CfgNode()
    swin = cfg.MODEL.SWIN
    swin.PRETRAIN_IMG_SIZE = 224  # read from YAMLs; only absolute positions would need it
    swin.PATCH_SIZE = 4
    swin.EMBED_DIM = 96
    swin.DEPTHS = [2, 2, 6, 2]
    swin.NUM_HEADS = [3, 6, 12, 24]
    swin.WINDOW_SIZE = 7
    swin.MLP_RATIO = 4.0
    swin.QKV_BIAS = True
    swin.QK_SCALE = None  # 1/sqrt(head dim)
    swin.DROP_RATE = 0.0
    swin.ATTN_DROP_RATE = 0.0
    swin.DROP_PATH_RATE = 0.3
    swin.APE = False
    swin.PATCH_NORM = True
    swin.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    swin.USE_CHECKPOINT = False  # recompute activations in the backward pass

    cfg.MODEL.TIMM = CfgNode()
    cfg.MODEL.TIMM.NAME = "tf_efficientnet_lite0"  # any model that supports features_only
    cfg.MODEL.TIMM.WEIGHTS = ""  # a file, "package" for the pip package's weights, "" for random
    cfg.MODEL.TIMM.NORM = "FrozenBN"  # or "BN": what becomes of the batch norms


def _add_gvseg(cfg: CfgNode) -> None:
    cfg.MODEL.GVSEG = CfgNode()
    gvseg = cfg.MODEL.GVSEG
    gvseg.TASK = "vis"  # vis, vss, vps or evs; "mixed": that of each dataset
    gvseg.LABEL_SETS = []  # datasets whose class tables one model learns side by side; NUM_CLASSES
    # counts all their classes. Empty: one table, that of all datasets
    gvseg.TUBE = "clip"  # one query set for a clip, or "frame": frames folded into the batch
    gvseg.POSITION_DIMS = 0  # sine encoding over 3: (t, y, x), or 2: (y, x) as the image model has;
    # 0 takes what MASK_FORMER.TRANSFORMER_DECODER_NAME of a Mask2Former YAML implies, 3 without one
    gvseg.QUERY_INIT = "learned"  # or "grid": queries read from cells of the clip (GvSeg, Eq. 8),
    # or "task": from cells, exemplars or the memory of classes, as the task asks (Eqs. 7 to 9)
    gvseg.QUERY_GRID = 16  # cells along each side of a frame
    gvseg.DESCRIPTOR = CfgNode()  # shape and position of a mask (GvSeg, Eqs. 3 and 4)
    gvseg.DESCRIPTOR.NUM_ANGLES = 36
    gvseg.DESCRIPTOR.NUM_RADII = 12
    gvseg.DESCRIPTOR.NUM_POINTS = 200  # anchor points of an outline
    gvseg.DESCRIPTOR.OUTSIDE = "image"  # negative are bins outside of the frame, or of the "object"
    gvseg.DESCRIPTOR.RADIUS = "image"  # bins reach half its diagonal, or to the end of the "object"
    gvseg.DESCRIPTOR.PROJECT = "interpolate"  # bins to channels; or "linear", learnt
    gvseg.CUE = "none"  # shape and position for queries of things (Eq. 5): in training of their
    # "matched_gt", of the mask "predicted", or "mixed": each at times; at inference of the latter
    gvseg.CUE_SEGMENTS = "things"  # whose queries have cues; "stuff" or "all" for ablations
    gvseg.PREDICTED_CUE_PROB = 0.5  # of the predicted one where mixed
    gvseg.CLASS_MEMORY_MOMENTUM = 0.99  # of the embeddings that queries of classes start from
    gvseg.EXEMPLAR_POINTS = 32  # read inside the mask or box of an exemplar (Eq. 7), and for
    # LOOK_MASKS as many outside
    _add_contrastive(gvseg)
    gvseg.PLACE_MASKS = False  # masks fade with the distance from their query's place
    gvseg.LOOK_MASKS = False  # masks of exemplars' objects rise where pixels look like them
    gvseg.CLASS_HEAD_RESET = False  # start anew a class head, and what else has a row for each
    # class or query, that has another size in MODEL.WEIGHTS
    gvseg.ATTENTION_MASK = "resample_features"  # intermediate masks from features resampled to the
    # level's size (faster), or "resample_masks" for the numbers of Mask2Former to the last digit
    _add_test(gvseg)
    _add_linker(cfg)


def _add_test(gvseg: CfgNode) -> None:
    gvseg.TEST = CfgNode()
    test = gvseg.TEST
    test.WINDOW = 1  # frames segmented together
    test.OVERLAP = 0  # of which each window shares so many with the one before, whose
    # segments stand
    test.FRAMES_PER_STEP = 1  # of which pass backbone and pixel decoder at a time
    test.PRECISION = "float32"  # or bfloat16, float16: autocast of the network at inference
    test.EXEMPLAR = CfgNode()  # objects that exemplars point out (EVS)
    test.EXEMPLAR.MIN_SCORE = 0.5  # probability of being there below which one is absent
    test.EXEMPLAR.FIRST_WEIGHT = 0.5  # of the exemplar in what an object's query starts from;
    # the rest is what was found since; of LOOK_MASKS both count alike, but for one of weight 0
    test.EXEMPLAR.MAX_JUMP = 0.0  # how far parts of an object may lie from where it was in
    # the frame before, in roots of its largest area so far; 0: anywhere
    test.EXEMPLAR.MOMENTUM = 0.8  # weight of what an object looked like against the latest,
    # in what its query starts from
    test.MAX_GAP = 0.0  # how far parts of an object (VIS, VPS) may lie from its largest one,
    # in roots of the area of that one; 0: anywhere
    test.POOL_OVERLAP = 1.0  # mask IoU of queries (VIS, VPS) above which they show one object, and
    # the best of them has the class probabilities of all; 1: none
    test.MAX_INSTANCES = 100  # best query-class pairs kept in a frame, in the place of
    # detectron2's TEST.DETECTIONS_PER_IMAGE
    test.SCORE_THRESHOLD = 0.0  # instances below are dropped; the demo sets its own
    test.MORE_PROTOCOLS = []  # beside the benchmark's own, such as "hota/trackeval" and
    # "tracking/gvseg", which tell why tracks score low; docs/metrics.md lists all
    test.WRITE_PREDICTIONS = False  # to OUTPUT_DIR, in the format that organisers take


def _add_linker(cfg: CfgNode) -> None:
    cfg.MODEL.LINKER = CfgNode()
    link = cfg.MODEL.LINKER
    # or QuerySimilarityLinker, LocationAwareLinker, QuasiDenseLinker, VideoStitchingLinker
    link.NAME = "ShapePositionLinker"
    link.MIN_SIMILARITY = 0.5  # below which a pair is not the same object
    link.MIN_IOU = 0.5  # the same where VideoStitchingLinker and LocationAwareLinker
    # compare masks in frames that two windows share; of disjoint masks only one can have more
    link.LOCATION_TEMPERATURE = 1.0  # the smaller, the more the place of boxes counts
    link.DESCRIPTOR_WEIGHT = 1.0  # of H beside embeddings in ShapePositionLinker, 1 in
    # Eq. 6; how much that is depends on their length: docs/linkers.md
    link.MIN_SCORE = 0.1  # queries below take no part
    link.BIRTH_SCORE = 0.3  # an unmatched query above this starts an identity
    link.MAX_OVERLAP = 1.0  # mask IoU with a better query above which one is left out
    link.MAX_AGE = 10  # clips an identity survives without a match
    link.MOMENTUM = 0.5  # weight of the old embedding when an identity is seen again


def _add_contrastive(gvseg: CfgNode) -> None:
    gvseg.CONTRASTIVE = CfgNode()  # task-oriented contrastive learning (GvSeg, Eq. 10)
    contrastive = gvseg.CONTRASTIVE
    contrastive.ENABLED = False
    # Compare, and link clips by, embeddings that are learnt apart from class and mask; not in the
    # paper. Inference needs this and ENABLED as they were in training.
    contrastive.EMBED_HEAD = True
    contrastive.TAU = 0.2  # change of shape and position below which views of an object are alike
    contrastive.DISTANT = "negative"  # what the other views of the object are, or "ignored"
    contrastive.CLASS_SAMPLES = "dataset"  # what stuff meets: queues, its own "video", or the
    # frame of that "beside" the clip
    contrastive.TEMPERATURE = 1.0  # divides dot products of embeddings
    contrastive.WEIGHT = 2.0
    contrastive.COSINE_WEIGHT = 3.0  # of the auxiliary loss on cosines
    contrastive.QUEUE_SIZE = 100  # embeddings kept of each semantic class
