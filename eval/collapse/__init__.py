"""Neural collapse: one definition of each metric, measured in memory, in batches, or in training.

To measure:

- `metrics`: :func:`collapse_metrics` and :func:`nc1` of features in memory, :func:`balancedness`.
- `fitted`: :func:`collapse_of`, the same of a fitted classifier.
- `observers`: :func:`collapse_observers`, along the training of the two-stage network.
- `tracking`: :func:`track_collapse`, of any torch model, epoch by epoch.
- `accumulator`: :class:`CollapseAccumulator`, of features in batches or shards.
- `torchmetrics_`: `CollapseMetric`, the accumulator in torchmetrics (an extra, not imported).

How it is measured, each module importing only those above it:

- `batch`: takes in features and labels (:mod:`eval.reading`), and cuts them into float64 blocks.
- `moments`: counts, means and sums of squares of the classes.
- `geometry`: the input of the formulas, and every reason why a metric is undefined.
- `formulas`: the formula of every metric, NC1 to NC4, with its source.
- `second_pass`: the metrics that need the final class means.
"""
