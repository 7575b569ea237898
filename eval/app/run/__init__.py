"""The command run: one training, its table, and its folder.

`runs` is the training, `run_folder` its folder, `resumable` how it continues after a stop.
"""
