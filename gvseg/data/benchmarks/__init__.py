"""One file for each benchmark; importing the package registers all of them."""

from gvseg.data.benchmark import register
from gvseg.data.benchmarks.burst import BURST, BURST_BOX, BURST_CLASS, BURST_MASK, BURST_POINT
from gvseg.data.benchmarks.camvid import CAMVID
from gvseg.data.benchmarks.cityscapes_vps import CITYSCAPES_VPS
from gvseg.data.benchmarks.coco import (
    COCO,
    COCO128,
    COCO128_AS_OBJECT,
    COCO_AS_OBJECT,
    COCO_AS_OVIS,
    COCO_AS_YTVIS_2019,
    COCO_AS_YTVIS_2021,
)
from gvseg.data.benchmarks.coco_panoptic import COCO_PANOPTIC, COCO_SEMANTIC
from gvseg.data.benchmarks.coco_stuff import COCO_STUFF21
from gvseg.data.benchmarks.davis import DAVIS
from gvseg.data.benchmarks.kitti_step import KITTI_STEP
from gvseg.data.benchmarks.vipseg import VIPSEG
from gvseg.data.benchmarks.vipseg_raw import VIPSEG_RAW
from gvseg.data.benchmarks.vspw import VSPW, VSPW_RAW
from gvseg.data.benchmarks.youtube_vos import YOUTUBE_VOS
from gvseg.data.benchmarks.ytvis import OVIS, YTVIS_2019, YTVIS_2021, YTVIS_2022

BENCHMARKS = (
    *(BURST, BURST_MASK, BURST_BOX, BURST_POINT, BURST_CLASS),
    CAMVID,
    *(COCO, COCO128, COCO_AS_YTVIS_2019, COCO_AS_YTVIS_2021, COCO_AS_OVIS),
    *(COCO_AS_OBJECT, COCO128_AS_OBJECT),
    *(COCO_PANOPTIC, COCO_SEMANTIC, COCO_STUFF21),
    *(YTVIS_2019, YTVIS_2021, YTVIS_2022, OVIS),
    *DAVIS,
    *YOUTUBE_VOS,
    *(VIPSEG, VIPSEG_RAW, KITTI_STEP, CITYSCAPES_VPS),
    *(VSPW, VSPW_RAW),
)

for _benchmark in BENCHMARKS:
    register(_benchmark)
