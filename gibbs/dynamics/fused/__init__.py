"""One step of the neurons as a compiled kernel (needs the extra "fast").

- `engine`: what the dynamics see: the passes of a cloud over the samples.
- `team`: threads that share out a pass, and `meeting`, how they wait for each other.
- `passes`: the two passes of a step, panel by panel.
- `blocks`: products of a panel, written in vector instructions.
- `functions`: exponential, activations, logarithm, sine and cosine of vectors.
- `normals`: standard normals from a counter.
- `lanes`: vectors while code is being written.
"""
