"""One file for each benchmark; importing the package registers all of them."""

from gvseg.data.benchmark import register
from gvseg.data.benchmarks.camvid import CAMVID
from gvseg.data.benchmarks.coco import COCO128

BENCHMARKS = (CAMVID, COCO128)

for _benchmark in BENCHMARKS:
    register(_benchmark)
