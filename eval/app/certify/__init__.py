"""The command certify: how far the neurons of a run are from the Gibbs minimizer."""
