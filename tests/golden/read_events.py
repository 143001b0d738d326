"""Reads a run's TensorBoard event files with TensorBoard's own loader: read_events.py RUN. Prints each scalar tag with its number of values and its last
one, each histogram with its number of values, each picture with its size."""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0})
events.Reload()
for tag in sorted(events.Tags()["scalars"]):
    values = events.Scalars(tag)
    print(tag, len(values), values[0].step, values[-1].step, "%.6g" % values[-1].value)
for tag in sorted(events.Tags()["histograms"]):
    print(tag, "histogram", "%g" % events.Histograms(tag)[-1].histogram_value.num)
for tag in sorted(events.Tags()["images"]):
    print(tag, "picture", events.Images(tag)[-1].width, events.Images(tag)[-1].height)
