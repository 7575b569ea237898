"""The command `gibbsnet predict`: classes of the rows of a file by the network of a run."""

from __future__ import annotations

from pathlib import Path

import click

from eval.app.shared.options import Output, folder_argument, output_options, separator_option
from eval.app.shared.uses import TABLES, Uses, refuse_unused, with_uses_in_help

__all__ = ["USES", "predict"]

USES: Uses = {"separator": TABLES["separator"]}


@with_uses_in_help(USES)
@click.command()
@folder_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="A column of true labels: adds the test error.")
@separator_option
@output_options(
    out="CSV file to write, not stdout.",
    force="Replace the file.",
    as_json="JSON records in place of CSV.",
)
@click.pass_context
def predict(
    context: click.Context,
    /,
    run_folder: Path,
    file: Path,
    target: str | None,
    separator: str | None,
    output: Output,
) -> str | None:
    """Predict the class of every row of FILE with the network stored in RUN.

    Columns are found by name, categories encoded as in training; other columns are ignored.

    \b
    gibbsnet predict runs/wine new.csv
    gibbsnet predict runs/wine labelled.csv --target cultivar --out predicted.csv
    """  # noqa: D301
    from eval.accuracy import mismatch_interval
    from eval.app.predict.predictions import column_of, feature_matrix, predictions
    from eval.app.run.model_store import read_model
    from eval.app.shared.formats import write_files
    from eval.app.shared.run_folder import read_manifest
    from eval.app.shared.workspace import written_to
    from eval.data.file_formats import read_file
    from eval.data.loading import options_of

    refuse_unused(context, USES, {"data": file, "tables": options_of(file)})
    out = output.out
    if out is not None and out.exists() and not output.force:
        raise FileExistsError(f"{out} exists already: choose another --out, or --force")
    read_manifest(run_folder)
    model = read_model(run_folder)
    table = read_file(file, separator)
    x = feature_matrix(table.frame, model.feature_names, table.origin)
    predicted = predictions(model, x)
    if target is not None:
        truth = column_of(table.frame, target, table.origin).to_numpy()
        error = mismatch_interval(truth, predicted["prediction"].to_numpy())
        estimate, low, high = (100 * value for value in error)
        output.say(f"mismatch error {estimate:.2f} % [{low:.2f}, {high:.2f}]")
    if output.as_json:
        text = predicted.to_json(orient="records", indent=1) + "\n"
    else:
        text = predicted.to_csv(index=False)
    if out is None:
        return text.removesuffix("\n")
    with written_to(out):
        write_files(out.parent, {out.name: text})
    return None
