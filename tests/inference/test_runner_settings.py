import pytest
import torch

from detectron2.config import get_cfg

from gvseg.config import add_gvseg_config
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.tasks import Task


def make_config(**changes):
    cfg = get_cfg()
    add_gvseg_config(cfg)
    for key, value in changes.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def test_settings_come_from_the_config():
    settings = RunnerSettings.from_config(
        make_config(
            MODEL__GVSEG__TASK="vps",
            MODEL__GVSEG__TEST__WINDOW=3,
            INPUT__FORMAT="RGB",
            INPUT__MIN_SIZE_TEST=360,
            MODEL__GVSEG__TEST__PRECISION="float16",
        )
    )
    assert settings.task is Task.VPS
    assert (settings.window, settings.min_size, settings.is_bgr) == (3, 360, False)
    assert settings.autocast is torch.float16


def test_precision_of_training_is_not_that_of_inference():
    assert RunnerSettings.from_config(make_config(SOLVER__AMP__ENABLED=True)).autocast is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"INPUT__FORMAT": "YUV-BT.601"}, "INPUT.FORMAT is 'YUV-BT.601'"),
        ({"MODEL__GVSEG__TEST__WINDOW": 0}, "WINDOW is 0"),
        (
            {"MODEL__GVSEG__TEST__WINDOW": 3, "MODEL__GVSEG__TEST__OVERLAP": 3},
            "OVERLAP is 3, but a window of 3 frames can share 0 to 2",
        ),
        (
            {
                "MODEL__GVSEG__TEST__WINDOW": 3,
                "MODEL__GVSEG__TEST__OVERLAP": 1,
                "MODEL__GVSEG__TUBE": "frame",
            },
            "set MODEL.GVSEG.TEST.OVERLAP to 0",
        ),
        ({"MODEL__GVSEG__TEST__MAX_GAP": -0.1}, "MAX_GAP is -0.1; give a number above 0"),
        ({"MODEL__GVSEG__TEST__POOL_OVERLAP": 1.5}, "POOL_OVERLAP is 1.5; give an IoU of masks"),
        ({"MODEL__GVSEG__TEST__PRECISION": "int8"}, "MODEL.GVSEG.TEST.PRECISION is 'int8'"),
        ({"MODEL__GVSEG__TASK": "vos"}, "TASK is 'vos'"),
    ],
)
def test_senseless_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RunnerSettings.from_config(make_config(**changes))
