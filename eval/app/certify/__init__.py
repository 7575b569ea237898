"""The command certify: how far the neurons of a run are from the Gibbs minimizer.

`command` is the command line, `certification` measures, `marginals` compares the law of the neurons
with that of the minimizer in one dimension, and `warmer` searches for a lower beta.
"""
