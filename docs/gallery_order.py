"""The order of the gallery: from the first steps to the theory."""

ORDER = [
    "quickstart",
    "own_distribution",
    "pipeline_grid_search",
    "comparison",
    "ridge_or_flow",
    "observers_and_resume",
    "collapse_of_a_torch_model",
    "error_against_n",
    "separability_certificate",
    "solve_and_certify",
    "distances_between_clouds",
    "check_theory_on_a_run",
]


class FirstStepsFirst:
    """A sorting key for the names of files."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        """Place of a file; what is not listed comes last."""
        stem = name.removesuffix(".py")
        return (ORDER.index(stem) if stem in ORDER else len(ORDER), stem)
