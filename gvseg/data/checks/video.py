"""The check of one video: each frame and each frame's labels, as training would read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Record, annotated_frames
from gvseg.data.checks.findings import Finding
from gvseg.data.checks.image_files import check_whole
from gvseg.data.checks.objects import ObjectCheck, exemplar_findings
from gvseg.data.frames import read_frame
from gvseg.data.problems import RESTORE, problem_of


@dataclass
class VideoFindings:
    """What the check of one video gives."""

    findings: list[Finding] = field(default_factory=list)
    num_objects: int = 0


def check_video(record: Record, benchmark: Benchmark) -> VideoFindings:
    """Decode all frames and labels of a video and return what is wrong with them."""
    findings = list(_record_findings(record))
    if findings:
        return VideoFindings(findings)
    objects = ObjectCheck(benchmark, record)
    findings.extend(_frame_findings(record))
    findings.extend(_label_findings(record, benchmark, objects))
    findings.extend(objects.findings(place_of(record)))
    if benchmark.read_exemplars is not None:
        findings.extend(exemplar_findings(record, benchmark.read_exemplars, place_of(record)))
    # What is wrong with a whole file is found in each of its frames.
    return VideoFindings(list(dict.fromkeys(findings)), objects.num_objects)


def place_of(record: Record) -> str:
    """Return the file or folder that stands for a whole video."""
    if "annotation_file" in record:
        return f"{record['annotation_file']}: video {record['video_id']}"
    return str(Path(record["file_names"][0]).parent) if record["file_names"] else record["video_id"]


def _record_findings(record: Record) -> Iterator[Finding]:
    """Check that the list of a video can be read at all."""
    names, place = record["file_names"], place_of(record)
    if not names:
        yield Finding.wrong(
            "empty video", place, "has no frames", "leave it out of the list of videos"
        )
    if len(names) != record["length"]:
        what = f"lists {len(names)} frames, but gives its length as {record['length']}"
        yield Finding.wrong("length of video", place, what, "correct the length or the list")
    times_listed: Counter[str] = Counter(names)
    for name, times in times_listed.items():
        if times > 1:
            what = f"is listed {times} times in one video"
            yield Finding.wrong("frame listed twice", name, what, "list every frame once")
    outside = [index for index in annotated_frames(record) if not 0 <= index < record["length"]]
    if outside:
        what = f"has labels for frames {outside[:10]}, but only {record['length']} frames"
        yield Finding.wrong("labels without frame", place, what, "remove these labels")


def _frame_findings(record: Record) -> list[Finding]:
    size = (record["height"], record["width"])
    findings = [
        finding for path in record["file_names"] for finding in _findings_of_frame(path, size)
    ]
    num_missing = sum(finding.kind == "missing frame" for finding in findings)
    if num_missing == record["length"] > 1:
        folder = str(Path(record["file_names"][0]).parent)
        what = f"has none of the {num_missing} frames of video {record['video_id']}"
        return [Finding.wrong("missing video", folder, what, "get it, or go on without this video")]
    return findings


def _findings_of_frame(path: str, size: tuple[int, int]) -> Iterator[Finding]:
    try:
        check_whole(path)
        height, width = read_frame(path).shape[:2]
    except FileNotFoundError as error:
        yield Finding("missing frame", problem_of(error, path, RESTORE))
    except (OSError, ValueError) as error:
        yield Finding("damaged frame", problem_of(error, path, RESTORE))
    else:
        if (height, width) != size:
            yield Finding.wrong(
                "frame of another size", path, _sizes((height, width), size), RESTORE
            )


def _label_findings(
    record: Record, benchmark: Benchmark, objects: ObjectCheck
) -> Iterator[Finding]:
    """Read the labels of each frame that has them, and show them to `objects`."""
    size = (record["height"], record["width"])
    for index in annotated_frames(record):
        file = _label_file(record, index)
        try:
            if "label_files" in record:
                check_whole(file)
            labels = benchmark.read_labels(record, index)
        except FileNotFoundError as error:
            yield Finding("missing labels", problem_of(error, file, RESTORE))
        except OSError as error:
            yield Finding("damaged labels", problem_of(error, file, RESTORE))
        except ValueError as error:
            yield Finding("wrong labels", problem_of(error, file, RESTORE))
        else:
            if labels.size != size:
                yield Finding.wrong(
                    "labels of another size", file, _sizes(labels.size, size), RESTORE
                )
            yield from objects.findings_of_frame(labels, f"{file}, frame {index}")
            yield from _known_bugs(record, index, benchmark)


def _known_bugs(record: Record, index: int, benchmark: Benchmark) -> Iterator[Finding]:
    for bug in benchmark.known_bugs:
        problem = bug.find(record, index)
        if problem is not None:
            yield Finding(bug.name, problem, is_note=True)


def _label_file(record: Record, index: int) -> str:
    """Return the file that the labels of a frame are read from."""
    if "label_files" in record:
        return record["label_files"][index]
    return record.get("annotation_file", record["file_names"][index])


def _sizes(found: tuple[int, int], expected: tuple[int, int]) -> str:
    return (
        f"has {found[0]}x{found[1]} pixels, but its video has {expected[0]}x{expected[1]} "
        "(height x width)"
    )
