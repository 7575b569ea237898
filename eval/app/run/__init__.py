"""The command run: one training, its table, and its folder.

`command` is the command line and `config` its configuration. `splits` draws or loads the samples,
`runs` trains and measures, and `recorder` watches the training. `run_files` writes the folder, with
the network by `model_store`; `resumable` takes up a run that was stopped.
"""
