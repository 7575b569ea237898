"""Noisy mean-field Langevin dynamics (Eq. 20).

`langevin` is the driver of a run and `run_state` its state; `backends` chooses who computes a step:
`engine` in operations of torch, on the cloud of tiles in `cloud`, or `fused` in compiled passes.
`coupling` splits off the coordinates of a that do not follow the data. `noise`, `batches`,
`step_sizes` (with `curvature`) and `schedules` feed the steps, and `snapshot` is what a run needs
to continue after a stop.
"""
