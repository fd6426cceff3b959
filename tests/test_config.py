import sys

import pytest
import yaml

from gvseg.config import load_config

# Keys and values that the published YAMLs of Mask2Former use, image and video.
OFFICIAL = {
    "MODEL": {
        "META_ARCHITECTURE": "GvSeg",
        "WEIGHTS": "model_final_3c8ec9.pkl",
        "BACKBONE": {"FREEZE_AT": 0, "NAME": "D2SwinTransformer"},
        "SWIN": {
            "EMBED_DIM": 192, "DEPTHS": [2, 2, 18, 2], "NUM_HEADS": [6, 12, 24, 48],
            "WINDOW_SIZE": 12, "APE": False, "DROP_PATH_RATE": 0.3, "PATCH_NORM": True,
            "PRETRAIN_IMG_SIZE": 384,
        },
        "RESNETS": {
            "DEPTH": 50, "STEM_TYPE": "basic", "STEM_OUT_CHANNELS": 64, "STRIDE_IN_1X1": False,
            "OUT_FEATURES": ["res2", "res3", "res4", "res5"], "RES5_MULTI_GRID": [1, 1, 1],
        },
        "SEM_SEG_HEAD": {
            "NAME": "MaskFormerHead", "IGNORE_VALUE": 255, "NUM_CLASSES": 40, "LOSS_WEIGHT": 1.0,
            "CONVS_DIM": 256, "MASK_DIM": 256, "NORM": "GN",
            "PIXEL_DECODER_NAME": "MSDeformAttnPixelDecoder",
            "IN_FEATURES": ["res2", "res3", "res4", "res5"],
            "DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES": ["res3", "res4", "res5"],
            "COMMON_STRIDE": 4, "TRANSFORMER_ENC_LAYERS": 6,
        },
        "MASK_FORMER": {
            "TRANSFORMER_DECODER_NAME": "VideoMultiScaleMaskedTransformerDecoder",
            "TRANSFORMER_IN_FEATURE": "multi_scale_pixel_decoder", "DEEP_SUPERVISION": True,
            "NO_OBJECT_WEIGHT": 0.1, "CLASS_WEIGHT": 2.0, "MASK_WEIGHT": 5.0, "DICE_WEIGHT": 5.0,
            "HIDDEN_DIM": 256, "NUM_OBJECT_QUERIES": 100, "NHEADS": 8, "DROPOUT": 0.0,
            "DIM_FEEDFORWARD": 2048, "ENC_LAYERS": 0, "PRE_NORM": False,
            "ENFORCE_INPUT_PROJ": False, "SIZE_DIVISIBILITY": 32, "DEC_LAYERS": 10,
            "TRAIN_NUM_POINTS": 12544, "OVERSAMPLE_RATIO": 3.0, "IMPORTANCE_SAMPLE_RATIO": 0.75,
            "TEST": {
                "SEMANTIC_ON": False, "INSTANCE_ON": True, "PANOPTIC_ON": False,
                "OVERLAP_THRESHOLD": 0.8, "OBJECT_MASK_THRESHOLD": 0.8,
            },
        },
    },
    "DATASETS": {"TRAIN": ["ytvis_2019_train"], "TEST": ["ytvis_2019_val"]},
    "SOLVER": {
        "IMS_PER_BATCH": 16, "BASE_LR": 0.0001, "STEPS": [4000], "MAX_ITER": 6000,
        "WARMUP_FACTOR": 1.0, "WARMUP_ITERS": 10, "WEIGHT_DECAY": 0.05, "OPTIMIZER": "ADAMW",
        "BACKBONE_MULTIPLIER": 0.1, "AMP": {"ENABLED": True},
        "CLIP_GRADIENTS": {
            "ENABLED": True, "CLIP_TYPE": "full_model", "CLIP_VALUE": 0.01, "NORM_TYPE": 2.0,
        },
    },
    "INPUT": {
        "MIN_SIZE_TRAIN_SAMPLING": "choice_by_clip", "RANDOM_FLIP": "flip_by_clip",
        "MIN_SIZE_TRAIN": [360, 480], "MIN_SIZE_TEST": 360, "FORMAT": "RGB",
        "CROP": {"ENABLED": False, "TYPE": "absolute_range", "SIZE": [600, 720]},
        "SAMPLING_FRAME_NUM": 2, "SAMPLING_FRAME_RANGE": 20, "SAMPLING_FRAME_SHUFFLE": False,
        "AUGMENTATIONS": [], "DATASET_MAPPER_NAME": "coco_instance_lsj",
        "IMAGE_SIZE": 1024, "MIN_SCALE": 0.1, "MAX_SCALE": 2.0, "COLOR_AUG_SSD": False,
        "SIZE_DIVISIBILITY": -1,
    },
    "TEST": {"EVAL_PERIOD": 0, "DETECTIONS_PER_IMAGE": 100},
    "DATALOADER": {"FILTER_EMPTY_ANNOTATIONS": False, "NUM_WORKERS": 4},
    "VERSION": 2,
}  # fmt: skip


def write(path, content):
    path.write_text(yaml.safe_dump(content))
    return path


def test_official_yaml_loads_with_the_meta_architecture_named(tmp_path):
    cfg = load_config(write(tmp_path / "official.yaml", OFFICIAL))
    assert cfg.MODEL.MASK_FORMER.DEC_LAYERS == 10
    assert cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE == "full_model"


def test_overrides_win_over_bases(tmp_path):
    write(tmp_path / "base.yaml", {"SOLVER": {"MAX_ITER": 5, "BASE_LR": 0.5}})
    leaf = write(tmp_path / "leaf.yaml", {"_BASE_": "base.yaml", "SOLVER": {"MAX_ITER": 7}})
    cfg = load_config(leaf, ["SOLVER.BASE_LR", "0.25"])
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR) == (7, 0.25)
    assert cfg.is_frozen()


@pytest.mark.parametrize(
    ("content", "overrides", "named"),
    [
        ({"MODEL": {"GVSEG": {"TUBES": "clip"}}}, [], "TUBES"),
        ({"SOLVER": {"MAX_ITER": "many"}}, [], "MAX_ITER"),
        ({}, ["MODEL.GVSEG.TUBES", "clip"], "TUBES"),
        ({}, ["SOLVER.MAX_ITER", "many"], "MAX_ITER"),
        ({}, ["SOLVER.MAX_ITER"], "SOLVER.MAX_ITER"),
        ({}, ["MODEL.DEVICE", "gpu"], "MODEL.DEVICE is 'gpu'; choose cpu or cuda"),
        ({"MODEL": {"DEVICE": "gpu"}}, [], "MODEL.DEVICE is 'gpu'; choose cpu or cuda"),
    ],
)
def test_wrong_key_or_type_is_one_error_that_names_it(content, overrides, named, tmp_path):
    path = write(tmp_path / "wrong.yaml", content)
    with pytest.raises(ValueError, match=named):
        load_config(path, overrides)


def test_missing_file_and_missing_base_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")
    leaf = write(tmp_path / "leaf.yaml", {"_BASE_": "gone.yaml"})
    with pytest.raises(FileNotFoundError, match=r"gone\.yaml"):
        load_config(leaf)


def test_broken_yaml_and_code_in_it_are_refused(tmp_path):
    (tmp_path / "broken.yaml").write_text("MODEL: [unclosed")
    with pytest.raises(ValueError, match=r"broken\.yaml"):
        load_config(tmp_path / "broken.yaml")
    evidence = tmp_path / "evidence"
    (tmp_path / "code.yaml").write_text(
        f"OUTPUT_DIR: !!python/object/apply:os.mkdir ['{evidence}']"
    )
    with pytest.raises(ValueError, match=r"code\.yaml"):
        load_config(tmp_path / "code.yaml")
    assert not evidence.exists()


def test_unknown_project_is_named(tmp_path):
    path = write(tmp_path / "leaf.yaml", {"PROJECTS": ["nobody"]})
    with pytest.raises(ValueError, match=r"leaf\.yaml names the project 'nobody'"):
        load_config(path)


def test_projects_are_imported_and_may_add_keys(tmp_path, monkeypatch):
    package = tmp_path / "projects" / "made_up"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "def add_config(cfg):\n    cfg.MODEL.MADE_UP = type(cfg)({'SIZE': 3})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "projects", raising=False)
    write(tmp_path / "base.yaml", {"PROJECTS": ["made_up"]})
    leaf = write(tmp_path / "l.yaml", {"_BASE_": "base.yaml", "MODEL": {"MADE_UP": {"SIZE": 4}}})
    assert load_config(leaf).MODEL.MADE_UP.SIZE == 4


@pytest.fixture
def own_path(tmp_path, monkeypatch):
    """Take back what a test adds to the places that modules come from, and those modules."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.usefixtures("own_path")
def test_file_of_the_user_is_imported_once_from_beside_the_yaml_that_names_it(tmp_path):
    (tmp_path / "mine").mkdir()
    evidence = tmp_path / "evidence"
    code = f"with open({str(evidence)!r}, 'a') as file:\n    file.write(__name__)\n"
    (tmp_path / "mine" / "my_own_data.py").write_text(code)
    write(tmp_path / "mine" / "base.yaml", {"PROJECTS": ["my_own_data.py"]})
    leaf = write(tmp_path / "leaf.yaml", {"_BASE_": "mine/base.yaml"})
    assert load_config(leaf).PROJECTS == ["my_own_data.py"]
    load_config(leaf)
    assert evidence.read_text() == "my_own_data"


@pytest.mark.usefixtures("own_path")
def test_file_that_cannot_be_imported_is_named(tmp_path):
    path = write(tmp_path / "leaf.yaml", {"PROJECTS": ["nowhere.py"]})
    with pytest.raises(FileNotFoundError, match=r"nowhere\.py, named as a project, does not exist"):
        load_config(path)
    (tmp_path / "json.py").write_text("")
    path = write(tmp_path / "leaf.yaml", {"PROJECTS": ["json.py"]})
    with pytest.raises(
        ValueError, match=r"json\.py, named as a project, is called json as .* is; rename yours"
    ):
        load_config(path)


def test_later_bases_win_over_earlier_ones(tmp_path):
    write(tmp_path / "first.yaml", {"SOLVER": {"MAX_ITER": 5, "BASE_LR": 0.5}})
    write(tmp_path / "second.yaml", {"SOLVER": {"MAX_ITER": 6, "GAMMA": 0.25}})
    bases = ["first.yaml", "second.yaml"]
    leaf = write(tmp_path / "leaf.yaml", {"_BASE_": bases, "SOLVER": {"GAMMA": 0.75}})
    solver = load_config(leaf).SOLVER
    assert (solver.MAX_ITER, solver.BASE_LR, solver.GAMMA) == (6, 0.5, 0.75)


def test_base_may_lie_at_home_or_at_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    base = write(tmp_path / "home" / "base.yaml", {"SOLVER": {"MAX_ITER": 5}})
    for name in ("~/base.yaml", str(base)):
        leaf = write(tmp_path / "leaf.yaml", {"_BASE_": name})
        assert load_config(leaf).SOLVER.MAX_ITER == 5


def test_same_base_twice_is_no_circle(tmp_path):
    write(tmp_path / "root.yaml", {"SOLVER": {"MAX_ITER": 5}})
    for name in ("left", "right"):
        write(tmp_path / f"{name}.yaml", {"_BASE_": "root.yaml"})
    leaf = write(tmp_path / "leaf.yaml", {"_BASE_": ["left.yaml", "right.yaml"]})
    assert load_config(leaf).SOLVER.MAX_ITER == 5


def test_bases_in_a_circle_are_refused(tmp_path):
    path = write(tmp_path / "self.yaml", {"_BASE_": "self.yaml"})
    with pytest.raises(
        ValueError, match=r"self\.yaml names the base .*self\.yaml, which is itself"
    ):
        load_config(path)
    write(tmp_path / "a.yaml", {"_BASE_": "b.yaml"})
    write(tmp_path / "b.yaml", {"_BASE_": ["c.yaml"]})
    write(tmp_path / "c.yaml", {"_BASE_": "../" + tmp_path.name + "/a.yaml"})
    with pytest.raises(ValueError, match=r"c\.yaml names the base .*a\.yaml, which is itself"):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "holds nothing, not keys"),
        ("5", "holds a value of type int, not keys"),
        ("MODEL:\n", "MODEL is None, but keys belong below it"),
        ("MODEL: 5\n", "MODEL is 5, but keys belong below it"),
        ("MODEL:\n  GVSEG:\n    TEST: [1]\n", r"MODEL\.GVSEG\.TEST is \[1\], but keys"),
        ("PROJECTS: 5\n", "PROJECTS is 5; give a list"),
        ("PROJECTS: vita\n", "PROJECTS is 'vita'; give a list"),
        ("PROJECTS:\n", "PROJECTS is None; give a list"),
        ("VERSION: 3\n", "VERSION is 3; detectron2 knows 1 and 2"),
        ("VERSION: two\n", "VERSION is 'two'"),
        ("_BASE_: 5\n", "_BASE_ is 5; give the path"),
        ("_BASE_:\n", "_BASE_ is None; give the path"),
        ("_BASE_: [1]\n", r"_BASE_ is \[1\]; give the path"),
        ("SOLVER:\n  MAX_ITER: {A: 1}\n", "MAX_ITER"),
        ("5: 3\n", "the key 5 is"),
        ("MODEL: {5: 3}\n", r"the key MODEL\.5 is"),
        ("OUTPUT_DIR: na\xefve\n", "not plain YAML"),
    ],
)
def test_senseless_file_is_one_error_that_names_it(text, named, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=rf"wrong\.yaml.*{named}"):
        load_config(path)
    leaf = write(tmp_path / "leaf.yaml", {"_BASE_": "wrong.yaml"})
    with pytest.raises(ValueError, match=named):
        load_config(leaf)


def test_base_that_is_a_folder_or_gone_is_named(tmp_path):
    for base in ("~/nowhere/base.yaml", ".", "https://example.com/base.yaml"):
        leaf = write(tmp_path / "leaf.yaml", {"_BASE_": base})
        with pytest.raises(FileNotFoundError, match=r"leaf\.yaml names the base"):
            load_config(leaf)
