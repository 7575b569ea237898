"""The command run: one training, its table, and the folder that it leaves.

`runs` is the training, `run_folder` what it leaves, `resumable` how it continues after a stop.
"""
